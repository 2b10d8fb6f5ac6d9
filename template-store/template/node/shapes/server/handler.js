'use strict';

const http = require('http');

const answer = (request, response) => {
  response.setHeader('Content-Type', request.headers['content-type'] || 'text/plain; charset=utf-8');
  request.pipe(response);
};

// Your own web server: it listens on 127.0.0.1, port $PORT, until it is ended.
exports.main = () => {
  const server = http.createServer(answer);
  server.listen(process.env.PORT, '127.0.0.1');
  process.on('SIGTERM', () => server.close());
  return server;
};
