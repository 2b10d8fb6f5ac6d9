import { readFileSync } from 'fs';

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' };

export const handler = async (event, context) => {
  const path = decodeURIComponent(event.rawPath);
  const query = event.queryStringParameters || {};
  if (path.startsWith('/inspect')) {
    return {
      method: event.requestContext.http.method, path, query,
      two: event.headers['x-two'] || '', cookie: (event.cookies || []).join('; '),
    };
  }
  switch (path) {
    case '/echo':
      return {
        statusCode: 200, headers: { 'Content-Type': event.headers['content-type'] || 'none' },
        body: event.body, isBase64Encoded: event.isBase64Encoded,
      };
    case '/status':
      return { statusCode: Number(query.code), headers: TEXT, body: `status ${query.code}` };
    case '/redirect':
      return { statusCode: 302, headers: { Location: '/elsewhere' } };
    case '/cookies':
      return { statusCode: 200, cookies: ['a=1; Path=/', 'b=2'], body: 'set' };
    case '/json':
      return { tax: 4.7, of: ['grüß', null, true] };
    case '/text':
      return { statusCode: 200, headers: TEXT, body: Buffer.from('grüß').toString('base64'), isBase64Encoded: true };
    case '/error':
      throw new RangeError('no subtotal');
    case '/slow':
      await new Promise((resolve) => setTimeout(resolve, 500));
      return { statusCode: context.getRemainingTimeInMillis() > 0 ? 200 : 500, body: 'slow' };
    case '/environment':
      return { statusCode: 200, body: process.env.PROBE || 'none' };
    case '/secret':
      return { statusCode: 200, body: readFileSync(`${process.env.FAAS_SECRETS_DIR || '/var/openfaas/secrets'}/portability-key`, 'utf8') };
    default:
      return { statusCode: 404, body: 'no such path' };
  }
};
