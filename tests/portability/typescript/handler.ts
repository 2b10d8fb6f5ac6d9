import { readFileSync } from 'fs';
import { Readable } from 'stream';

import type { Answer, Context, Event } from '../faas';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function* words(): AsyncGenerator<string> {
  for (const word of ['one\n', 'two\n', 'three\n']) {
    yield word;
    await wait(300);
  }
}

const one = (field: string | string[] | undefined): string => (Array.isArray(field) ? field.join(', ') : (field ?? ''));

export async function handle(event: Event, context: Context): Promise<Answer> {
  const { path, query, headers, method } = event;
  const plain = { 'Content-Type': 'text/plain; charset=utf-8' };
  if (path.startsWith('/inspect')) {
    const seen = { method, path: decodeURIComponent(path), query, two: one(headers['x-two']), cookie: one(headers.cookie) };
    return { statusCode: 200, body: seen };
  }
  switch (path) {
    case '/echo':
      return { statusCode: 200, headers: { 'Content-Type': one(headers['content-type']) || 'none' }, body: event.rawBody };
    case '/status':
      return { statusCode: Number(query.code), body: `status ${query.code}` };
    case '/answer': {
      const answer: Answer = { headers: { [query.name || 'X-Value']: query.value }, body: 'b' };
      return query.status ? { ...answer, statusCode: Number(query.status) } : answer;
    }
    case '/redirect':
      return { statusCode: 302, headers: { Location: '/elsewhere' } };
    case '/cookies':
      return { statusCode: 200, headers: { 'Set-Cookie': ['a=1; Path=/', 'b=2'] }, body: 'set' };
    case '/json':
      return { statusCode: 200, body: { tax: 4.7, of: ['grüß', null, true] } };
    case '/text':
      return { statusCode: 200, body: 'grüß' };
    case '/stream':
      return { statusCode: 200, headers: plain, body: Readable.from(words()) };
    case '/error':
      throw new RangeError('no subtotal');
    case '/slow':
      await wait(500);
      return { statusCode: 200, body: 'slow' };
    case '/environment':
      return { statusCode: 200, body: process.env.PROBE ?? 'none' };
    case '/secret':
      return { statusCode: 200, body: readFileSync(`${process.env.FAAS_SECRETS_DIR ?? '/var/openfaas/secrets'}/portability-key`, 'utf8') };
    default:
      return { statusCode: 404, body: 'no such path' };
  }
}
