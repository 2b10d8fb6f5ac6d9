'use strict';
// The HTTP server around handler.js: node's shim between the invoker and the user's function.
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { pathToFileURL } = require('url');

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
// A token of RFC 9110, and what stands in no field.
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const MAX_HEAD = 1024 * 1024;
const FOLDER = path.join(__dirname, 'function');
process.env.PORT = process.env.PORT || '5000';

// The user's module, and the name in it that FAAS_HANDLER asks for, written as Lambda does: `module.function`.
function entry() {
  const [, named, name] = /^(.+)\.([^./]+)$/.exec(process.env.FAAS_HANDLER || '') || [];
  // handler.js, or what package.json names, or what AWS calls it.
  const bases = named ? [named] : ['handler', null, 'index', 'app'];
  for (const base of bases) {
    if (base === null) {
      try {
        return { file: require.resolve(FOLDER), name };
      } catch {
        continue;
      }
    }
    const file = ['.js', '.mjs', '.cjs'].map((end) => path.join(FOLDER, base + end)).find((one) => fs.existsSync(one));
    if (file) return { file, name };
  }
  throw new Error(`there is no function/${named || 'handler'}.js, .mjs or .cjs`);
}

async function load() {
  const { file, name } = entry();
  let module;
  try {
    module = require(file);
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM' && !(error instanceof SyntaxError && /import|export/.test(error.message))) throw error;
    module = await import(pathToFileURL(file).href);
  }
  const exported = module.default || module;
  const find = (key) => module[key] || exported[key];
  if (name && typeof find(name) !== 'function') throw new Error(`FAAS_HANDLER asks for ${name}, which ${path.basename(file)} does not export`);
  if (name) return name === 'handle' ? { handle: find(name) } : { lambda: find(name) };
  // An application of Express or Connect: it is called with request and response, and can listen by itself.
  if (typeof exported === 'function' && typeof exported.listen === 'function') return { app: exported };
  const handle = find('handle') || exported;
  if (typeof handle === 'function') return { handle };
  if (typeof find('handler') === 'function') return { lambda: find('handler') };
  if (typeof find('main') === 'function') return { main: find('main') };
  throw new Error(`function/${path.basename(file)} exports neither a function, nor \`handle\`, nor \`handler\`, nor \`main\``);
}

// What handle(event, context) may answer by, besides returning something.
class Context {
  constructor(settle) {
    this.functionName = process.env.OPENFAAS_NAME || '';
    this.hostname = os.hostname();
    this.statusCode = undefined;
    this.headerFields = {};
    this.settle = settle;
  }

  status(code) {
    if (code === undefined) return this.statusCode || 200;
    this.statusCode = code;
    return this;
  }

  headers(fields) {
    if (fields === undefined) return this.headerFields;
    Object.assign(this.headerFields, fields);
    return this;
  }

  answer(body) {
    return { statusCode: this.statusCode === undefined ? 200 : this.statusCode, headers: this.headerFields, body };
  }

  succeed(body) {
    this.settle(null, this.answer(body));
    return this;
  }

  fail(error) {
    this.statusCode = this.statusCode || 500;
    this.settle(null, this.answer(error instanceof Error ? error.message : error));
    return this;
  }
}

function parsed(raw, type) {
  const kind = (type || '').split(';')[0].trim().toLowerCase();
  const text = raw.toString('utf8');
  if (kind === 'application/json' && text) {
    try {
      return JSON.parse(text);
    } catch {
      return text; // the handler sees what was sent
    }
  }
  if (kind === 'application/x-www-form-urlencoded') return Object.fromEntries(new URLSearchParams(text));
  return text;
}

// Resolves to what the handler answered, however it does so.
function call(handle, request, raw) {
  if (handle.length < 2) return Promise.resolve(handle(raw.toString('utf8')));
  return new Promise((resolve, reject) => {
    const url = new URL(request.url, 'http://function');
    const event = {
      body: parsed(raw, request.headers['content-type']),
      rawBody: raw,
      headers: request.headers,
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
    };
    const settle = (error, answer) => (error ? reject(error) : resolve(answer));
    const context = new Context(settle);
    const callback = (error, body) => settle(error, context.answer(body));
    const returned = handle(event, context, callback);
    const awaited = returned !== null && typeof returned === 'object' && typeof returned.then === 'function';
    if (handle.length >= 3 && !awaited) return; // it calls back; what the arrow happens to return is nothing
    Promise.resolve(returned).then((result) => {
      if (result instanceof Context) return; // `return context.succeed(…)` has settled it
      if (result !== undefined) resolve(whole(result) ? { ...context.answer(), ...result } : context.answer(result));
      // An async handler that returns nothing has answered with nothing; another may still use its context.
      else if (awaited) resolve(context.answer(undefined));
    }, reject);
  });
}

// Whether a result is a whole answer and not a body.
function whole(result) {
  if (result === null || typeof result !== 'object' || Buffer.isBuffer(result) || typeof result.pipe === 'function') return false;
  return 'statusCode' in result || 'body' in result;
}

// The status of an answer. Refuses what is none, or only says that the answer is to come.
function final(status) {
  const number = typeof status === 'number' || typeof status === 'string' ? Number(status) : NaN;
  if (Number.isInteger(number) && number >= 200 && number <= 999) return number;
  throw new RangeError(`the status ${JSON.stringify(status)} is none that an answer can have: 200 to 999 are`);
}

// The values of a header field as node writes them: UTF-8, a byte a character. What is null is left out.
function spelled(name, value) {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} can't be the name of a header field`);
  return (Array.isArray(value) ? value : [value]).filter((one) => one !== null && one !== undefined).map((one) => {
    const text = String(one);
    if (CONTROL.test(text)) throw new TypeError(`the header field ${name} holds a line end or another control character`);
    return Buffer.from(text, 'utf8').toString('latin1');
  });
}

function send(response, answer, shaped) {
  const full = shaped && whole(answer) ? answer : { statusCode: 200, headers: {}, body: answer };
  const fields = Object.entries(full.headers || {}).filter(([name]) => !/^(content-length|transfer-encoding|connection)$/i.test(name))
    .map(([name, value]) => [name, spelled(name, value)]);
  let { body } = full;
  let type = TEXT;
  if (body === undefined || body === null) body = '';
  else if (Buffer.isBuffer(body) || body instanceof Uint8Array) type = 'application/octet-stream';
  else if (typeof body === 'object' && typeof body.pipe === 'function') type = 'application/octet-stream';
  else if (typeof body !== 'string') {
    body = JSON.stringify(body);
    type = JSON_TYPE;
  }
  response.statusCode = final(full.statusCode === undefined || full.statusCode === null ? 200 : full.statusCode);
  for (const [name, values] of fields) if (values.length > 0) response.setHeader(name, values.length === 1 ? values[0] : values);
  if (!response.hasHeader('content-type')) response.setHeader('Content-Type', type);
  if (stopping) response.setHeader('Connection', 'close');
  // As bytes: node would write the head in the encoding of a text that goes with it.
  if (typeof body.pipe !== 'function') return response.end(typeof body === 'string' ? Buffer.from(body) : body);
  body.on('error', (error) => {
    console.error(error);
    response.destroy(error);
  });
  response.flushHeaders();
  return body.pipe(response);
}

let stopping = false;

// Answers with the message what no handler of the application took.
function withErrors(app) {
  if (typeof app.use === 'function') {
    // eslint-disable-next-line no-unused-vars
    app.use((error, request, response, next) => {
      console.error(error);
      if (response.headersSent) return response.destroy();
      response.statusCode = (error && (error.status || error.statusCode)) || 500;
      response.setHeader('Content-Type', TEXT);
      response.end(said(error));
      return undefined;
    });
  }
  return app;
}

function said(error) {
  return `${error instanceof Error ? `${error.name}: ${error.message}` : error}\n`;
}

// What answers requests by `answer(request, body)`.
function listener(answer, shaped) {
  return (request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('error', () => {}); // the caller has gone
    request.on('end', async () => {
      try {
        send(response, await answer(request, Buffer.concat(chunks)), shaped);
      } catch (error) {
        console.error(error);
        if (response.headersSent) return response.destroy();
        for (const name of response.getHeaderNames()) response.removeHeader(name);
        response.statusCode = 500;
        response.setHeader('Content-Type', TEXT);
        response.end(said(error));
      }
      return undefined;
    });
  };
}

function serve(answer) {
  const server = http.createServer({ maxHeaderSize: MAX_HEAD }, answer);
  // The invoker decides how long a call may take and how long a connection is kept.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.listen(Number(process.env.PORT), '127.0.0.1', 1024);
  const stop = () => {
    stopping = true;
    server.close(() => process.exit(0));
    if (server.closeIdleConnections) server.closeIdleConnections();
    else setInterval(() => server.getConnections((_, open) => open === 0 && process.exit(0)), 50);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

process.on('unhandledRejection', (error) => console.error(error));

load().then(({ app, handle, lambda, main }) => {
  if (main) return main();
  if (app) return serve(withErrors(app));
  if (lambda) {
    const { call: callLambda } = require('./aws_lambda');
    return serve(listener((request, body) => callLambda(lambda, request, body), true));
  }
  return serve(listener((request, body) => call(handle, request, body), handle.length >= 2));
}).catch((error) => {
  console.error(error);
  const [, missing] = /Cannot find (?:module|package) '([^']+)'/.exec((error && error.message) || '') || [];
  if (missing && !/^[./]/.test(missing)) {
    console.error(`the package \`${missing}\` is not installed: add it to dependencies in package.json (npm install ${missing})`);
  }
  process.exit(1);
});
