import { freePort } from '../faults/service-process.js';
import { programBeside, type RunningChild, startChild } from './child-process.js';
import type { Target } from './measure.js';
import { nginxVersion, startNginxProxy, startNginxUpstream } from './nginx.js';
import { installPortkey, portkeyHeaders, PORTKEY_VERSION, startPortkey } from './portkey.js';
import { type Store, Tollgate } from './tollgate.js';

/** What can run here, and why the rest cannot. */
export interface Cast {
  readonly nginx: string | null;
  readonly hasPortkey: boolean;
  readonly notes: readonly string[];
}

export function findPeers(folder: string): Cast {
  const nginx = nginxVersion();
  const notes = [nginx === null ? 'nginx: not installed, skipped' : `nginx: ${nginx}`];
  const problem = installPortkey(folder);
  notes.push(
    problem === null
      ? `portkey: @portkey-ai/gateway ${PORTKEY_VERSION}`
      : `portkey: not installed, skipped (${problem})`,
  );
  return { nginx, hasPortkey: problem === null, notes };
}

/** One upstream and everything that stands in front of it. */
export interface Stage {
  readonly upstream: Target;
  readonly tollgate: Target & { readonly tollgate: Tollgate };
  /** Tollgate first, then the peers. */
  readonly targets: readonly Target[];
  close(): Promise<void>;
}

/**
 * `canned`: nginx answers plain requests, if it is installed, so that the upstream costs next to
 * nothing. `node`: a Node upstream that reads whole bodies and streams.
 */
export async function openStage(
  kind: 'canned' | 'node',
  folder: string,
  store: Store,
  cast: Cast,
): Promise<Stage> {
  const children: RunningChild[] = [];
  const add = async (child: Promise<RunningChild>): Promise<RunningChild> => {
    const started = await child;
    children.push(started);
    return started;
  };
  const upstream = await add(startUpstream(kind, folder, cast.nginx !== null));
  const service = await Tollgate.start(folder, store, upstream.port, `bench-${kind}`);
  const tollgate = {
    name: 'tollgate',
    port: service.port,
    pid: service.pid,
    headers: { authorization: `Bearer ${service.token}` },
    tollgate: service,
  };
  const targets: Target[] = [tollgate];
  const peer = (name: string, child: RunningChild, headers: Record<string, string> = {}): void => {
    targets.push({ name, port: child.port, pid: child.pid, headers, tollgate: null });
  };
  if (cast.nginx !== null) {
    peer('nginx', await add(startNginxProxy(folder, upstream.port, `nginx-${kind}`)));
  }
  if (kind === 'node') {
    peer('node relay', await add(startNode('node-relay', folder, [String(upstream.port)])));
  }
  if (cast.hasPortkey) {
    peer('portkey', await add(startPortkey(folder)), portkeyHeaders(upstream.port));
  }
  return {
    upstream: { name: 'direct', port: upstream.port, pid: null, headers: {}, tollgate: null },
    tollgate,
    targets,
    close: async () => {
      await service.stop();
      await Promise.all(children.map((child) => child.stop()));
    },
  };
}

export function startUpstream(
  kind: 'canned' | 'node',
  folder: string,
  hasNginx: boolean,
): Promise<RunningChild> {
  return kind === 'canned' && hasNginx
    ? startNginxUpstream(folder)
    : startNode('canned-upstream', folder, []);
}

async function startNode(
  program: string,
  folder: string,
  args: readonly string[],
): Promise<RunningChild> {
  const port = await freePort();
  const argv = [programBeside(program), String(port), ...args];
  return await startChild(program, folder, port, process.execPath, argv);
}
