import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadJob, LoadResult } from './load-job.js';

/** The load process, kept for the whole benchmark. */
export class LoadGenerator {
  private readonly child: ChildProcess;

  constructor() {
    this.child = fork(fileURLToPath(new URL('./load-process.js', import.meta.url)), {
      stdio: 'inherit',
    });
  }

  async run(job: LoadJob): Promise<LoadResult> {
    return await new Promise<LoadResult>((resolve, reject) => {
      const died = (): void => {
        reject(new Error('the load generator died'));
      };
      this.child.once('exit', died);
      this.child.once('message', (result: LoadResult) => {
        this.child.off('exit', died);
        resolve(result);
      });
      this.child.send(job);
    });
  }

  close(): void {
    this.child.removeAllListeners('exit');
    this.child.kill();
  }
}
