/** Jobs with a timer of their own record their runs under these names. */
export const PRICE_SYNC_JOB = 'price-sync';
export const HOLD_SWEEP_JOB = 'hold-sweep';
export const MEDIA_JOB_POLL = 'media-job-poll';
