require("http")
  .createServer((request, response) => response.end(JSON.stringify({ language: "node", path: request.url })))
  .listen(8000);
process.on("SIGTERM", () => process.exit(0));
