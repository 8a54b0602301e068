import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { createTransport, type Transporter } from 'nodemailer';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import type { SendResult } from './alert.js';
import type { MailText } from './alert-text.js';

const CONNECT_TIMEOUT_MS = 5_000;
const SILENCE_TIMEOUT_MS = 10_000;
const TOTAL_TIMEOUT_MS = 30_000;

/** Sends e-mail through the server of `SMTP_URL`, which is the operator's word. */
@Injectable()
export class MailClient implements OnModuleDestroy {
  private readonly transport: Transporter | null;
  private readonly from: string;
  private readonly hostname: string;

  constructor(@Inject(CONFIG) { mail, publicUrl }: Config) {
    this.from = mail?.from ?? '';
    this.hostname = new URL(publicUrl).hostname;
    this.transport =
      mail === null
        ? null
        : createTransport({
            url: mail.smtpUrl,
            connectionTimeout: CONNECT_TIMEOUT_MS,
            greetingTimeout: CONNECT_TIMEOUT_MS,
            socketTimeout: SILENCE_TIMEOUT_MS,
            // What is sent is ours alone: nothing is fetched to be enclosed.
            disableFileAccess: true,
            disableUrlAccess: true,
          });
  }

  onModuleDestroy(): void {
    this.transport?.close();
  }

  /** Never rejects. @param id the same at every attempt: mailboxes fold what comes twice. */
  async send(to: string, id: string, mail: MailText): Promise<SendResult> {
    const { transport } = this;
    if (transport === null) return { kind: 'failed', problem: 'SMTP_URL is not set' };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<SendResult>((resolve) => {
      timer = setTimeout(() => {
        resolve({ kind: 'failed', problem: `no answer within ${TOTAL_TIMEOUT_MS} ms` });
      }, TOTAL_TIMEOUT_MS);
      timer.unref();
    });
    const sent = transport
      .sendMail({
        from: this.from,
        // As an object it is one address, whatever it is made of.
        to: { name: '', address: to },
        messageId: `<${id}@${this.hostname}>`,
        ...mail,
      })
      .then((): SendResult => ({ kind: 'delivered' }))
      .catch((error: unknown): SendResult => ({ kind: 'failed', problem: problemOf(error) }));
    const result = await Promise.race([sent, late]);
    clearTimeout(timer);
    return result;
  }
}

/** A code and a status: the server's text may quote an address or a password. */
function problemOf(error: unknown): string {
  const { code = 'unknown', responseCode } = error as { code?: string; responseCode?: number };
  return responseCode === undefined
    ? `the mail server could not be used (${code})`
    : `the mail server answered ${responseCode}`;
}
