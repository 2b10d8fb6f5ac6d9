'use strict';

const fs = require('fs');
const { Readable } = require('stream');

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function* words() {
  for (const word of ['one\n', 'two\n', 'three\n']) {
    yield word;
    await wait(300);
  }
}

module.exports = async (event, context) => {
  const { path, query, headers, method } = event;
  if (path.startsWith('/inspect')) {
    return { statusCode: 200, body: { method, path: decodeURIComponent(path), query, two: headers['x-two'] || '', cookie: headers.cookie || '' } };
  }
  switch (path) {
    case '/echo':
      return { statusCode: 200, headers: { 'Content-Type': headers['content-type'] || 'none' }, body: event.rawBody };
    case '/status':
      return { statusCode: Number(query.code), body: `status ${query.code}` };
    case '/answer': {
      const answer = { headers: { [query.name || 'X-Value']: query.value }, body: 'b' };
      return query.status ? { ...answer, statusCode: Number(query.status) } : answer;
    }
    case '/redirect':
      return { statusCode: 302, headers: { Location: '/elsewhere' } };
    case '/cookies':
      return { statusCode: 200, headers: { 'Set-Cookie': ['a=1; Path=/', 'b=2'] }, body: 'set' };
    case '/json':
      return { tax: 4.7, of: ['grüß', null, true] };
    case '/text':
      return 'grüß';
    case '/stream':
      return { statusCode: 200, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: Readable.from(words()) };
    case '/error':
      throw new RangeError('no subtotal');
    case '/slow':
      await wait(500);
      return 'slow';
    case '/environment':
      return process.env.PROBE || 'none';
    case '/secret':
      return fs.readFileSync(`${process.env.FAAS_SECRETS_DIR || '/var/openfaas/secrets'}/portability-key`, 'utf8');
    default:
      return { statusCode: 404, body: 'no such path' };
  }
};
