import { describe, expect, it } from 'vitest';
import { configFrom } from '../config/config.module.js';
import { startDemoUpstream } from './demo-upstream.js';

describe('the demo', () => {
  it('asks its own simulator what providers call models, and nobody outside', async () => {
    const demo = await startDemoUpstream();
    try {
      const { hubUrl, upstream } = demo.configure(configFrom({ DEMO: '1' }));
      expect([hubUrl, upstream.baseUrl]).toEqual([demo.url, demo.url]);
      const path = '/api/models/meta-llama/Llama-3.3-70B-Instruct';
      const answer = await fetch(`${hubUrl ?? ''}${path}?expand[]=inferenceProviderMapping`);
      expect(await answer.json()).toMatchObject({
        inferenceProviderMapping: { groq: { status: 'live', task: 'conversational' } },
      });
    } finally {
      await demo.close();
    }
  });
});
