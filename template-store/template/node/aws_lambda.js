'use strict';
// Handlers of AWS Lambda, handler(event, context), called as Lambda does; loaded when the function has one.
const os = require('os');

const JSON_TYPE = 'application/json';

// What AWS Lambda gives a handler besides the event.
class Context {
  constructor(headers, settle) {
    const env = process.env;
    this.functionName = env.AWS_LAMBDA_FUNCTION_NAME || env.OPENFAAS_NAME || env.K_SERVICE || os.hostname();
    this.functionVersion = '$LATEST';
    this.invokedFunctionArn = `arn:aws:lambda:${env.AWS_REGION || 'local'}:000000000000:function:${this.functionName}`;
    this.memoryLimitInMB = env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE || '128';
    this.awsRequestId = headers['x-call-id'] || '';
    this.logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME || `/aws/lambda/${this.functionName}`;
    this.logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME || os.hostname();
    this.callbackWaitsForEmptyEventLoop = true;
    const until = Date.now() + 1000 * Number(env.AWS_LAMBDA_FUNCTION_TIMEOUT || 30);
    this.getRemainingTimeInMillis = () => Math.max(0, until - Date.now());
    this.done = settle;
    this.succeed = (result) => settle(null, result);
    this.fail = (error) => settle(error || new Error('failed'));
  }
}

// A request as Lambda's function URLs and HTTP APIs hand it over (payload 2.0), and beside that, where the body is an
// object of JSON, its fields: so a handler of either kind finds what it looks for.
function eventOf(request, raw) {
  const url = new URL(request.url, 'http://function');
  const text = raw.toString('utf8');
  const encoded = !Buffer.from(text).equals(raw);
  let fields = {};
  if (!encoded && text.trimStart().startsWith('{')) {
    try {
      fields = JSON.parse(text);
    } catch {
      fields = {};
    }
  }
  const { cookie, ...headers } = request.headers;
  const given = headers['x-amzn-request-context'];
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: request.url.split('?')[0],
    rawQueryString: url.search.slice(1),
    headers,
    requestContext: given ? JSON.parse(given) : {
      http: {
        method: request.method,
        path: url.pathname,
        protocol: 'HTTP/1.1',
        sourceIp: (headers['x-forwarded-for'] || '127.0.0.1').split(',')[0],
        userAgent: headers['user-agent'] || '',
      },
      requestId: headers['x-call-id'] || '',
      routeKey: '$default',
      stage: '$default',
    },
    body: encoded ? raw.toString('base64') : text,
    isBase64Encoded: encoded,
  };
  if (cookie) event.cookies = cookie.split('; ');
  if (event.rawQueryString) {
    event.queryStringParameters = {};
    for (const [key, value] of url.searchParams) {
      const have = event.queryStringParameters[key];
      event.queryStringParameters[key] = have === undefined ? value : `${have},${value}`;
    }
  }
  return { ...fields, ...event };
}

// What a handler of Lambda returned, as function URLs read it.
function answerOf(result) {
  if (result === null || typeof result !== 'object' || !('statusCode' in result)) {
    const body = typeof result === 'string' ? result : JSON.stringify(result === undefined ? null : result);
    return { statusCode: 200, headers: { 'Content-Type': JSON_TYPE }, body };
  }
  const headers = { ...result.headers, ...result.multiValueHeaders };
  if (result.cookies) headers['Set-Cookie'] = result.cookies;
  if (!Object.keys(headers).some((name) => name.toLowerCase() === 'content-type')) headers['Content-Type'] = JSON_TYPE;
  let { body } = result;
  if (result.isBase64Encoded && typeof body === 'string') body = Buffer.from(body, 'base64');
  else if (body !== undefined && body !== null && typeof body !== 'string') body = JSON.stringify(body);
  return { statusCode: result.statusCode, headers, body };
}

// Resolves to the answer of a handler(event, context) or handler(event, context, callback), called as AWS Lambda does.
async function call(handler, request, raw) {
  const isEvent = request.headers['x-faas-event'] === 'raw'; // no HTTP call: event and answer are JSON, as they are
  const event = isEvent ? JSON.parse(raw.toString('utf8') || '{}') : eventOf(request, raw);
  const result = await new Promise((resolve, reject) => {
    const settle = (error, value) => (error ? reject(error) : resolve(value));
    const returned = handler(event, new Context(request.headers, settle), settle);
    const awaited = returned !== null && typeof returned === 'object' && typeof returned.then === 'function';
    if (awaited) returned.then(resolve, reject);
    // As on Lambda, what a handler returns that is no promise is nothing: it calls back.
    else if (handler.length < 3 && returned !== undefined) resolve(returned);
  });
  if (!isEvent) return answerOf(result);
  return { statusCode: 200, headers: { 'Content-Type': JSON_TYPE }, body: JSON.stringify(result === undefined ? null : result) };
}

module.exports = { call };
