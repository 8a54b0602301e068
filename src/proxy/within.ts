/** What a promise resolves with, unless that takes longer than `waitMaxMs`; the work goes on. */
export async function within<T>(work: Promise<T>, waitMaxMs: number): Promise<T | 'timed_out'> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<'timed_out'>((resolve) => {
    timer = setTimeout(() => {
      resolve('timed_out');
    }, waitMaxMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
