import { resolve } from 'node:path';
import type { Config } from '../config/config.js';
import { nextPeriod, periodBounds, periodOf } from '../domain/periods.js';
import type { DemoAccount } from './demo-account.js';

const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';

/** The first lines: nobody should take a demo for the real thing. */
export function demoGreeting(simulatorUrl: string, { databaseUrl, dataDir }: Config): string {
  return [
    'Tollgate, DEMO MODE: every answer is invented by a simulator and costs nothing.',
    `  upstream   the simulator, in this process at ${simulatorUrl}`,
    `  database   ${databaseUrl === null ? `an embedded PostgreSQL under ${resolve(dataDir)}` : 'the PostgreSQL of DATABASE_URL'}`,
    '  for real   set UPSTREAM_API_KEY (Hugging Face), or UPSTREAM_BASE_URL for another server',
  ].join('\n');
}

/** What to paste, once the service listens. */
export function demoInstructions(
  url: string,
  { slug, token, adminTokenFile }: DemoAccount,
  now: Date,
): string {
  const period = periodOf(now);
  const day = (at: Date): string => at.toISOString().slice(0, 'YYYY-MM-DD'.length);
  // Through the next month, so that the line still shows everything after midnight of the last day.
  const range = `start=${day(periodBounds(period).start)}&end=${day(periodBounds(nextPeriod(period)).end)}`;
  const body = JSON.stringify({
    model: MODEL,
    stream: true,
    messages: [{ role: 'user', content: 'What is a tollgate?' }],
  });
  return `
Ask a model, streamed:

curl -N ${url}/v1/chat/completions \\
  -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/json' \\
  -d '${body}'

See what it cost, and who served it:

curl -H 'Authorization: Bearer ${token}' \\
  '${url}/api/organizations/${slug}/usage?${range}&bucket=day&groupBy=provider,model'

  the API      ${url}/api/docs
  admin token  ${adminTokenFile === null ? 'ADMIN_TOKEN' : `in ${adminTokenFile}`}
  stop         Ctrl-C
`;
}
