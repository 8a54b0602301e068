import { withoutCredit } from './database.js';
import type { SimulatedService } from './simulated.js';

/** A token of a new organization on the free plan that has no credit at all. */
export async function pennilessToken(service: SimulatedService): Promise<string> {
  const slug = `poor-${Math.random().toString(36).slice(2, 10)}`;
  const post = async <Body>(path: string, body: unknown): Promise<Body> => {
    const created = await service.api<Body>(path, { method: 'POST', body });
    if (created.status !== 201) throw new Error(`${path}: ${created.status}`);
    return created.body;
  };
  await post('/organizations', { name: 'Poor', slug, plan: 'free' });
  await withoutCredit(service.database, slug);
  const path = `/organizations/${slug}/tokens`;
  return (await post<{ token: string }>(path, { name: 'poor' })).token;
}
