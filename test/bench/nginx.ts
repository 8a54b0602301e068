import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { freePort } from '../faults/service-process.js';
import { MODELS_JSON, PLAIN_JSON, PROVIDER } from './canned-answers.js';
import { type RunningChild, startChild } from './child-process.js';

export function nginxVersion(): string | null {
  const { status, stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' });
  return status === 0 ? stderr.trim().replace('nginx version: ', '') : null;
}

/** An upstream that answers plain requests with a canned reply; every answer has an id of its own. */
export async function startNginxUpstream(folder: string): Promise<RunningChild> {
  return await start('nginx-upstream', folder, [
    'location = /v1/models {',
    `  default_type application/json; return 200 '${MODELS_JSON}';`,
    '}',
    'location = /v1/chat/completions {',
    '  default_type application/json;',
    '  add_header x-request-id $request_id;',
    `  add_header x-inference-provider ${PROVIDER};`,
    `  return 200 '${PLAIN_JSON}';`,
    '}',
  ]);
}

/** A reverse proxy that does no work at all. */
export async function startNginxProxy(
  folder: string,
  upstreamPort: number,
  name: string,
): Promise<RunningChild> {
  return await start(
    name,
    folder,
    [
      'location / {',
      '  proxy_pass http://upstream_server; proxy_http_version 1.1;',
      '  proxy_set_header connection ""; proxy_buffering off; proxy_request_buffering off;',
      '  proxy_read_timeout 600s;',
      '}',
    ],
    [`upstream upstream_server { server 127.0.0.1:${upstreamPort}; keepalive 2048; }`],
  );
}

async function start(
  name: string,
  folder: string,
  locations: readonly string[],
  http: readonly string[] = [],
): Promise<RunningChild> {
  const port = await freePort();
  const prefix = join(folder, name);
  mkdirSync(prefix, { recursive: true });
  const config = join(prefix, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    config,
    [
      ...(userInfo().uid === 0 ? ['user root;'] : []),
      'daemon off; worker_processes 1; worker_rlimit_nofile 16384;',
      `pid ${prefix}/nginx.pid; error_log ${prefix}/error.log crit;`,
      'events { worker_connections 8192; }',
      'http {',
      'access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;',
      'client_max_body_size 0; client_body_buffer_size 1m;',
      ...temporary.map((kind) => `${kind}_temp_path ${prefix}/${kind};`),
      ...http,
      `server { listen 127.0.0.1:${port} backlog=4096;`,
      ...locations,
      '}',
      '}',
      '',
    ].join('\n'),
  );
  return await startChild(name, folder, port, 'nginx', ['-e', 'stderr', '-c', config]);
}
