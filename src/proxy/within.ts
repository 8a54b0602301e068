/** What a promise resolves with, unless that takes longer than `waitMaxMs`; the work goes on. */
export function within<T>(work: Promise<T>, waitMaxMs: number): Promise<T | 'timed_out'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve('timed_out');
    }, waitMaxMs);
    work
      .finally(() => {
        clearTimeout(timer);
      })
      .then(resolve, reject);
  });
}
