import fc from 'fast-check';
import { expect, it } from 'vitest';
import { errorText } from './job-runs.service.js';

it('the text of an error is one bounded line that the database can store', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), (message) => {
      const text = errorText(new Error(message));
      expect(text.length).toBeLessThanOrEqual(1000);
      expect(text).not.toMatch(/[\p{Cc}\p{Cs}]/u);
      expect(text.startsWith('Error:')).toBe(true);
    }),
  );
});

it('the text of an error holds no password of an address', () => {
  const text = errorText(new Error('connect postgres://me:hunter2@db:5432/x and smtp://u:p@h'));
  expect(text).toBe('Error: connect postgres://***@db:5432/x and smtp://***@h');
});

it('what is no error has a text too', () => {
  expect(errorText('the catalogue is away')).toBe('the catalogue is away');
});
