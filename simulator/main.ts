import { startSimulator } from './server.js';

const {
  PORT = '4010',
  HOST = '127.0.0.1',
  SEED = '1',
  API_KEY,
  KEEP_BOOKS,
  PROVIDER_KEYS,
} = process.env;

const simulator = await startSimulator({
  port: Number(PORT),
  host: HOST,
  seed: Number(SEED),
  apiKey: API_KEY === undefined || API_KEY === '' ? null : API_KEY,
  keepBooks: KEEP_BOOKS !== '0',
  providerKeys: providerKeys(PROVIDER_KEYS ?? ''),
});
process.stdout.write(`simulator listening on ${simulator.url}\n`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void simulator.close().then(() => process.exit(0));
  });
}

/** `together=key,fal-ai=key` */
function providerKeys(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim().split('='));
  return Object.fromEntries(
    pairs.flatMap(([slug = '', key = '']) => (key === '' ? [] : [[slug, key] as const])),
  );
}
