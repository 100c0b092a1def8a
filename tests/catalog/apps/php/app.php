<?php echo json_encode(["language" => "php " . PHP_MAJOR_VERSION, "path" => $_SERVER["REQUEST_URI"]], JSON_UNESCAPED_SLASHES);
