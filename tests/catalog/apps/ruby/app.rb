require "json"
require "socket"

server = TCPServer.new("0.0.0.0", 8000)
loop do
  client = server.accept
  path = client.gets.to_s.split[1]
  nil while client.gets.to_s.strip != ""
  body = JSON.generate({ language: "ruby", path: path })
  client.write "HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
  client.close
end
