FROM base
ADD files.tar /unpacked/
ADD files/a /plain/
