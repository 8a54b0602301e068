import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Transporter } from 'nodemailer';
import type { Config, MailConfig } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import type { SendResult } from './alert.js';
import type { MailText } from './alert-text.js';

const CONNECT_TIMEOUT_MS = 5_000;
const SILENCE_TIMEOUT_MS = 10_000;
const TOTAL_TIMEOUT_MS = 30_000;

/** Sends e-mail through the server of `SMTP_URL`, which is the operator's word. */
@Injectable()
export class MailClient implements OnModuleDestroy {
  private readonly mail: MailConfig | null;
  private readonly hostname: string;
  private transport: Promise<Transporter> | null = null;

  constructor(@Inject(CONFIG) { mail, publicUrl }: Config) {
    this.mail = mail;
    this.hostname = new URL(publicUrl).hostname;
  }

  async onModuleDestroy(): Promise<void> {
    (await this.transport)?.close();
  }

  /** Never rejects. @param id the same at every attempt: mailboxes fold what comes twice. */
  async send(to: string, id: string, text: MailText): Promise<SendResult> {
    const { mail } = this;
    if (mail === null) return { kind: 'failed', problem: 'SMTP_URL is not set' };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<SendResult>((resolve) => {
      timer = setTimeout(() => {
        resolve({ kind: 'failed', problem: `no answer within ${TOTAL_TIMEOUT_MS} ms` });
      }, TOTAL_TIMEOUT_MS);
      timer.unref();
    });
    const result = await Promise.race([this.sendNow(mail, to, id, text), late]);
    clearTimeout(timer);
    return result;
  }

  private async sendNow(
    mail: MailConfig,
    to: string,
    id: string,
    text: MailText,
  ): Promise<SendResult> {
    try {
      this.transport ??= open(mail);
      const transport = await this.transport;
      await transport.sendMail({
        from: mail.from,
        // As an object it is one address, whatever it is made of.
        to: { name: '', address: to },
        messageId: `<${id}@${this.hostname}>`,
        ...text,
      });
      return { kind: 'delivered' };
    } catch (error) {
      return { kind: 'failed', problem: problemOf(error) };
    }
  }
}

/** Loaded with the first mail: it would take a tenth of a second of every start. */
async function open({ smtpUrl }: MailConfig): Promise<Transporter> {
  const { createTransport } = await import('nodemailer');
  return createTransport({
    url: smtpUrl,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    // What is sent is ours alone: nothing is fetched to be enclosed.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

/** A code and a status: the server's text may quote an address or a password. */
function problemOf(error: unknown): string {
  const { code = 'unknown', responseCode } = error as { code?: string; responseCode?: number };
  return responseCode === undefined
    ? `the mail server could not be used (${code})`
    : `the mail server answered ${responseCode}`;
}
