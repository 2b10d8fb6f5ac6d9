'use strict';
// Handlers of AWS Lambda, handler(event, context), called as Lambda does; loaded when the function has one.
const { AsyncResource, createHook, executionAsyncId } = require('async_hooks');
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
    // The deadline that Lambda gave, or what the invoker says of the function's time, in seconds.
    const until = Number(headers['lambda-runtime-deadline-ms']) || Date.now() + 1000 * Number(env.AWS_LAMBDA_FUNCTION_TIMEOUT || 30);
    this.getRemainingTimeInMillis = () => Math.max(0, until - Date.now());
    this.done = settle;
    this.succeed = (result) => settle(null, result);
    this.fail = (error) => settle(error || new Error('failed'));
  }
}

// A name or an address without its port, the first of a list.
function bare(hosts) {
  const host = hosts.split(',')[0].trim();
  if (host.startsWith('[')) return host.slice(1).split(']')[0];
  return host.split(':').length === 2 ? host.split(':')[0] : host;
}

// What a function URL would tell of the request.
function requestContext({ method, headers }, path, name) {
  const now = new Date();
  const [, day, month, year, clock] = now.toUTCString().split(' ');
  const domainName = bare(headers['x-forwarded-host'] || headers.host || 'localhost');
  return {
    accountId: '000000000000',
    apiId: name,
    domainName,
    domainPrefix: domainName.split('.')[0],
    http: {
      method,
      path,
      protocol: 'HTTP/1.1',
      sourceIp: bare(headers['x-forwarded-for'] || '127.0.0.1'),
      userAgent: headers['user-agent'] || '',
    },
    requestId: headers['x-call-id'] || '',
    routeKey: '$default',
    stage: '$default',
    time: `${day}/${month}/${year}:${clock} +0000`,
    timeEpoch: now.getTime(),
  };
}

// A request as Lambda's function URLs and HTTP APIs hand it over (payload 2.0), and beside that, where the body is an
// object of JSON, its fields: so a handler of either kind finds what it looks for.
function eventOf(request, raw, name) {
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
  const { cookie, 'lambda-runtime-deadline-ms': deadline, ...headers } = request.headers;
  const given = headers['x-amzn-request-context'];
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: request.url.split('?')[0],
    rawQueryString: url.search.slice(1),
    headers,
    requestContext: given ? JSON.parse(given) : requestContext(request, url.pathname, name),
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

// What node's own name for a thing says of whether it keeps a process alive: what waits does, a promise by itself doesn't.
const WAITS = /^(?!PROMISE|TLSWRAP|HTTP|FILEHANDLE)([A-Z0-9]+|Timeout|Immediate)$/;
const LOOK = 10; // ms

// Calls a function. Once it has returned, `idle` is called when nothing is under way any more of what it began, unless
// `stop`, which it returns beside the result, was called before that. On Lambda that is when the event loop is empty.
function followed(run, idle) {
  const root = new AsyncResource('FAAS');
  const family = new Set([root.asyncId()]);
  const open = new Map();
  const hook = createHook({
    init(id, type, trigger, resource) {
      if (!family.has(executionAsyncId()) && !family.has(trigger)) return;
      family.add(id);
      if (WAITS.test(type)) open.set(id, resource);
    },
    destroy(id) {
      open.delete(id);
    },
  }).enable();
  let timer;
  const stop = () => {
    clearInterval(timer);
    hook.disable();
  };
  try {
    const returned = root.runInAsyncScope(run);
    timer = setInterval(() => {
      for (const resource of open.values()) if (typeof resource.hasRef !== 'function' || resource.hasRef()) return;
      stop();
      idle();
    }, LOOK);
    return { returned, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

// Resolves to the answer of a handler(event, context) or handler(event, context, callback), called as AWS Lambda does.
async function call(handler, request, raw) {
  const isEvent = request.headers['x-faas-event'] === 'raw'; // no HTTP call: event and answer are JSON, as they are
  const result = await new Promise((resolve, reject) => {
    let settled = false;
    let stop = () => {};
    const settle = (error, value) => {
      settled = true;
      stop();
      return error ? reject(error) : resolve(value);
    };
    const context = new Context(request.headers, settle);
    const event = isEvent ? JSON.parse(raw.toString('utf8') || '{}') : eventOf(request, raw, context.functionName);
    let returned;
    if (handler.constructor.name === 'AsyncFunction') returned = handler(event, context, settle);
    // Who neither calls back nor waits for anything has answered with nothing.
    else ({ returned, stop } = followed(() => handler(event, context, settle), () => resolve(null)));
    const awaited = returned !== null && typeof returned === 'object' && typeof returned.then === 'function';
    if (awaited || settled) stop();
    if (awaited) returned.then(resolve, reject);
    // As on Lambda, what a handler returns that is no promise is nothing: it calls back.
    else if (handler.length < 3 && returned !== undefined) settle(null, returned);
  });
  if (!isEvent) return answerOf(result);
  return { statusCode: 200, headers: { 'Content-Type': JSON_TYPE }, body: JSON.stringify(result === undefined ? null : result) };
}

module.exports = { call };
