import { describe, expect, it } from 'vitest';
import { configFrom } from './config.module.js';

describe('the configuration of mail', () => {
  const problemsOf = (environment: Readonly<Record<string, string>>): string => {
    try {
      configFrom({ DEMO: '1', ...environment });
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('wants a sender, an address for links, and a server that speaks SMTP', () => {
    expect(problemsOf({ SMTP_URL: 'smtp://mail' })).toMatch(
      /^MAIL_FROM .*\nPUBLIC_URL |^PUBLIC_URL .*\nMAIL_FROM /,
    );
    expect(problemsOf({ SMTP_URL: 'mail.example.com' })).toMatch(/SMTP_URL must be a URL/);
    expect(problemsOf({ MAIL_FROM: 'a@example.com' })).toBe('');
  });
});
