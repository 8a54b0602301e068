/** One provider for each way to tell of a job: two addresses, one address, one for all jobs. */
export const JOB_KINDS = {
  fal: {
    submit: '/fal-ai/fal-ai/flux/dev?_subdomain=queue',
    body: {},
    result: (id: string) => `/fal-ai/fal-ai/flux/requests/${id}?_subdomain=queue`,
    price: ['fal-ai', 'fal-ai/flux/dev', 'megapixel', '0.025'],
  },
  together: {
    submit: '/together/v2/videos',
    body: { model: 'Wan-AI/Wan2.2-T2V-A14B', seconds: '4' },
    result: (id: string) => `/together/v2/videos/${id}`,
    price: ['together', 'Wan-AI/Wan2.2-T2V-A14B', 'video_second', '0.132'],
  },
  novita: {
    submit: '/novita/v3/async/wan-t2v',
    body: {},
    result: (id: string) => `/novita/v3/async/task-result?task_id=${id}`,
    price: ['novita', 'wan-t2v', 'video_second', '0.06'],
  },
} as const;

export type JobKind = keyof typeof JOB_KINDS;
export const KIND_NAMES = Object.keys(JOB_KINDS) as JobKind[];
