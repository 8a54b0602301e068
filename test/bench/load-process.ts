import { type Answered, HttpConnection } from './http-connection.js';
import { type LoadJob, type LoadResult, percentilesOf } from './load-job.js';

// A process of its own, so that it stays warm and never shares a thread with what it measures. Takes
// jobs over the IPC channel and answers each with a result.

const CONNECTIONS_MAX = 4000;

class Run {
  private readonly request: Buffer;
  private readonly latencies: number[] = [];
  private readonly firstBytes: number[] = [];
  private readonly connections: HttpConnection[] = [];
  private readonly idle: HttpConnection[] = [];
  private open = 0;
  private errors = 0;
  private firstError: string | null = null;
  private isOver = false;
  private ended: (() => void) | null = null;

  constructor(private readonly job: LoadJob) {
    const headers = {
      host: `127.0.0.1:${job.port}`,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(job.body)),
      ...job.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const head = ['POST /v1/chat/completions HTTP/1.1', ...lines, '', ''].join('\r\n');
    this.request = Buffer.from(head + job.body);
  }

  async run(): Promise<LoadResult> {
    const { pace, durationMs } = this.job;
    const startedAt = performance.now();
    if (pace.kind === 'closed') {
      for (let index = 0; index < pace.concurrency; index += 1) this.sendAgain();
      await new Promise((wake) => setTimeout(wake, durationMs));
    } else {
      await this.sendOnTheClock(startedAt, pace.perSecond);
    }
    this.isOver = true;
    if (this.open > 0) await new Promise<void>((resolve) => (this.ended = resolve));
    const elapsedMs = performance.now() - startedAt;
    for (const connection of this.connections) connection.close();
    return {
      answers: this.latencies.length,
      errors: this.errors,
      firstError: this.firstError,
      elapsedMs,
      latencyMs: percentilesOf(this.latencies),
      firstByteMs: percentilesOf(this.firstBytes),
    };
  }

  private sendAgain(): void {
    this.send(performance.now(), () => {
      if (!this.isOver) this.sendAgain();
    });
  }

  private async sendOnTheClock(startedAt: number, perSecond: number): Promise<void> {
    let sent = 0;
    for (;;) {
      const now = performance.now();
      if (now - startedAt >= this.job.durationMs) return;
      const due = Math.floor(((now - startedAt) * perSecond) / 1000);
      for (; sent < due; sent += 1) this.send(startedAt + ((sent + 1) * 1000) / perSecond, null);
      await new Promise((wake) => setTimeout(wake, 1));
    }
  }

  /** Latency counts from `intendedAt`. */
  private send(intendedAt: number, next: (() => void) | null): void {
    const connection = this.idle.pop() ?? this.connect();
    if (connection === null) {
      this.note('no connection left');
      return;
    }
    this.open += 1;
    connection.send(this.request, (answered) => {
      this.open -= 1;
      if (answered instanceof Error) this.note(answered.message);
      else {
        this.idle.push(connection);
        this.count(answered, intendedAt);
      }
      next?.();
      if (this.open === 0) this.ended?.();
    });
  }

  private connect(): HttpConnection | null {
    if (this.connections.length >= CONNECTIONS_MAX) return null;
    const connection = new HttpConnection(this.job.port);
    this.connections.push(connection);
    return connection;
  }

  private count(answered: Answered, intendedAt: number): void {
    if (answered.status !== 200 || !answered.tail.trimEnd().endsWith(this.job.endsWith)) {
      this.note(`${answered.status} ${answered.tail.slice(0, 300)}`);
      return;
    }
    this.latencies.push(answered.endedAt - intendedAt);
    this.firstBytes.push(answered.firstByteAt - intendedAt);
  }

  private note(problem: string): void {
    this.errors += 1;
    this.firstError ??= problem;
  }
}

process.on('message', (job: LoadJob) => {
  void new Run(job).run().then((result) => process.send?.(result));
});
