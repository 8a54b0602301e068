import { work, type Task } from './seeds.js';

/** A process that lives the seeds it is sent. */
process.on('message', (task: Task) => {
  void work(task, (report) => process.send?.({ report })).then(
    () => process.send?.({ done: true }),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
      process.exitCode = 1;
      process.disconnect();
    },
  );
});
