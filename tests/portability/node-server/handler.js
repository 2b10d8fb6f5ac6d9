'use strict';

const fs = require('fs');
const http = require('http');

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' };

async function answer(req, res) {
  const url = new URL(req.url, 'http://x');
  const path = decodeURIComponent(url.pathname);
  const query = Object.fromEntries(url.searchParams);
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const json = (data) => res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(data));
  if (path.startsWith('/inspect')) {
    return json({ method: req.method, path, query, two: req.headers['x-two'] || '', cookie: req.headers.cookie || '' });
  }
  switch (path) {
    case '/echo':
      return res.writeHead(200, { 'Content-Type': req.headers['content-type'] || 'none' }).end(Buffer.concat(chunks));
    case '/status':
      return res.writeHead(Number(query.code), TEXT).end(`status ${query.code}`);
    case '/redirect':
      return res.writeHead(302, { Location: '/elsewhere' }).end();
    case '/cookies':
      return res.writeHead(200, { ...TEXT, 'Set-Cookie': ['a=1; Path=/', 'b=2'] }).end('set');
    case '/json':
      return json({ tax: 4.7, of: ['grüß', null, true] });
    case '/text':
      return res.writeHead(200, TEXT).end('grüß');
    case '/stream':
      res.writeHead(200, TEXT);
      for (const word of ['one\n', 'two\n', 'three\n']) {
        res.write(word);
        await wait(300);
      }
      return res.end();
    case '/error':
      throw new RangeError('no subtotal');
    case '/slow':
      await wait(500);
      return res.writeHead(200, TEXT).end('slow');
    case '/environment':
      return res.writeHead(200, TEXT).end(process.env.PROBE || 'none');
    case '/secret':
      return res.writeHead(200, TEXT).end(fs.readFileSync(`${process.env.FAAS_SECRETS_DIR || '/var/openfaas/secrets'}/portability-key`));
    default:
      return res.writeHead(404, TEXT).end('no such path');
  }
}

exports.main = () => {
  const server = http.createServer((req, res) => answer(req, res).catch((error) => res.writeHead(500, TEXT).end(error.message)));
  server.keepAliveTimeout = 0;
  server.listen(process.env.PORT, '127.0.0.1');
  process.on('SIGTERM', () => server.close());
};
