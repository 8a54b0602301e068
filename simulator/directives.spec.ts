import { describe, expect, it } from 'vitest';
import {
  DirectiveError,
  directivesInHeaders,
  directivesInJson,
  directivesInMessages,
  parseDirectives,
} from './directives.js';

describe('parseDirectives', () => {
  it('reads counts, delays, faults and flags', () => {
    expect(
      parseDirectives(
        ' output=64 delay=5 chunk_delay=1-9 fault=crlf,gzip split=random burst bill=no',
      ),
    ).toEqual({
      output: 64,
      delay: { minMs: 5, maxMs: 5 },
      chunkDelay: { minMs: 1, maxMs: 9 },
      faults: ['crlf', 'gzip'],
      split: 'random',
      burst: true,
      bill: false,
    });
  });

  it.each(['outputs=1', 'output=-1', 'output=x', 'fault=nothing', 'bill=maybe', 'shape=round'])(
    'refuses %s, so that a typo in a test is noticed',
    (text) => {
      expect(() => parseDirectives(text)).toThrow(DirectiveError);
    },
  );
});

describe('where directives are found', () => {
  it('in the last user message, text parts included', () => {
    const parts = [{ type: 'text', text: 'hello [[sim output=3]] there' }];
    expect(
      directivesInMessages([
        { role: 'user', content: '[[sim output=1]]' },
        { role: 'user', content: parts },
        { role: 'assistant', content: '[[sim output=2]]' },
      ]),
    ).toEqual({ output: 3 });
  });

  it('in headers', () => {
    const headers = { 'x-sim': 'tag=a', 'x-sim-output-tokens': '5', 'x-sim-fault': '500' };
    expect(directivesInHeaders(headers)).toEqual({ tag: 'a', output: 5, faults: ['500'] });
  });

  it('in the JSON of an admin call', () => {
    const found = directivesInJson({ fault: ['429', 'gzip'], after: 3, done: false });
    expect(found).toEqual({ faults: ['429', 'gzip'], after: 3, done: false });
  });
});
