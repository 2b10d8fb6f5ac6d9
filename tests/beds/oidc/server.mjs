// A real OpenID provider (npm: oidc-provider), and a gateway that takes its tokens: every token's signature is checked
// against the provider's keys, and `/oauth/token` exchanges one for a token of the gateway's own, as OpenFaaS's IAM does.
// Prints `ready PROVIDER GATEWAY`, and ends with its stdin. TTL: seconds that the provider's tokens are good for;
// READY_AFTER: seconds until the gateway's functions are ready.
import http from 'node:http';
import crypto from 'node:crypto';
import { Provider } from 'oidc-provider';
import { createRemoteJWKSet, jwtVerify, SignJWT } from 'jose';

process.stdin.resume().on('end', () => process.exit(0));
const ttl = Number(process.env.TTL ?? 3600);
const readyAfter = Number(process.env.READY_AFTER ?? 0);
const exchanges = process.env.EXCHANGE !== 'no';

const listening = (server) =>
  new Promise((done) => server.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${server.address().port}`)));

const front = http.createServer();
const issuer = await listening(front);
const API = 'urn:faas:gateway';
const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'cli', application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: ['http://127.0.0.1/oauth/callback'],
    },
    {
      client_id: 'ci', client_secret: 'c/i: secret', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['test'] },
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'profile'],
  ttl: { AccessToken: ttl, IdToken: ttl, ClientCredentials: ttl },
  features: {
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => (client.clientId === 'ci' ? API : undefined),
      getResourceServerInfo: () => ({ scope: 'profile', audience: API, accessTokenFormat: 'jwt', accessTokenTTL: ttl }),
    },
  },
});
front.on('request', provider.callback());

const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
const own = crypto.randomBytes(32);
const trusted = (token) => jwtVerify(token, keys, { issuer, audience: ['cli', API] });
const ours = (token) => jwtVerify(token, own, { issuer: 'gateway' });

const gateway = http.createServer(async (request, response) => {
  const say = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/oauth/token' && exchanges) {
    let form = '';
    for await (const chunk of request) form += chunk;
    const { subject_token: token, grant_type: grant } = Object.fromEntries(new URLSearchParams(form));
    if (!grant.endsWith('token-exchange')) return say(400, { error: 'unsupported_grant_type' });
    try {
      const { payload } = await trusted(token);
      const made = await new SignJWT({ of: payload.sub, jti: crypto.randomUUID() })
        .setProtectedHeader({ alg: 'HS256' }).setIssuer('gateway').setExpirationTime(`${ttl}s`).sign(own);
      return say(200, { access_token: made, token_type: 'Bearer', expires_in: ttl });
    } catch (error) {
      return say(401, { error: String(error) });
    }
  }
  if (request.url.startsWith('/system/')) {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    try {
      const { payload } = await (exchanges ? ours : trusted)(token);
      const [, name] = request.url.match(/^\/system\/function\/([^?]*)/) ?? [];
      if (name) {
        const availableReplicas = process.uptime() > readyAfter ? 1 : 0;
        return say(200, { name, image: 'x', replicas: 1, availableReplicas });
      }
      return say(200, [{ name: `seen-by-${payload.of ?? payload.sub}`, image: 'x', replicas: 1 }]);
    } catch {
      response.writeHead(401).end('invalid credentials');
      return;
    }
  }
  response.writeHead(404).end('404 page not found');
});
console.log(`ready ${issuer} ${await listening(gateway)}`);
