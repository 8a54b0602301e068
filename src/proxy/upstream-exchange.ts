import diagnosticsChannel from 'node:diagnostics_channel';
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';

/** Why an exchange with an upstream broke. */
export type UpstreamFailure =
  /** Refused, DNS, TLS: the request did not get there. */
  | 'unreachable'
  /** The connection broke before any answer byte. `isReused`: it may have been stale all along. */
  | 'reset'
  | 'headers_timeout'
  | 'idle_timeout'
  | 'malformed'
  /** We closed it. */
  | 'aborted';

/** Takes an answer's body; `data` returns false to be left alone until `resume`. */
export interface AnswerSink {
  data(chunk: Buffer): boolean;
  end(): void;
  fail(failure: UpstreamFailure): void;
}

export interface AnswerHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

export type ExchangeStart =
  | { readonly kind: 'answered'; readonly head: AnswerHead }
  | {
      readonly kind: 'failed';
      readonly failure: UpstreamFailure;
      readonly isReusedConnection: boolean;
      readonly message: string;
    };

const usedSockets = new WeakSet<object>();
/** undici starts the handler and publishes the socket in one synchronous step. */
let starting: UpstreamExchange | null = null;
diagnosticsChannel.subscribe('undici:client:sendHeaders', (message) => {
  const { socket } = message as { socket: object };
  if (starting !== null) starting.isReusedConnection = usedSockets.has(socket);
  starting = null;
  usedSockets.add(socket);
});

function noteStart(exchange: UpstreamExchange): void {
  starting = exchange;
}

/**
 * One call to an upstream. `start` resolves with the head of its answer or with why there is none;
 * the body waits until `pipe` names a sink.
 */
export class UpstreamExchange implements Dispatcher.DispatchHandler {
  isReusedConnection = false;
  private controller: Dispatcher.DispatchController | null = null;
  private sink: AnswerSink | null = null;
  private early: Buffer[] = [];
  private ending: 'end' | UpstreamFailure | null = null;
  private hasHead = false;
  private isAborted = false;
  private resolve: (start: ExchangeStart) => void = () => undefined;

  start(dispatcher: Dispatcher, options: Dispatcher.DispatchOptions): Promise<ExchangeStart> {
    return new Promise((resolve) => {
      this.resolve = resolve;
      dispatcher.dispatch(options, this);
    });
  }

  /** Hands the body on, what came early first. */
  pipe(sink: AnswerSink): void {
    this.sink = sink;
    const { early } = this;
    this.early = [];
    let isFlowing = true;
    for (const chunk of early) isFlowing = sink.data(chunk) && isFlowing;
    if (!isFlowing) this.controller?.pause();
    else if (this.controller?.paused === true) this.controller.resume();
    if (this.ending !== null) this.finish(this.ending);
  }

  resume(): void {
    if (this.controller?.paused === true) this.controller.resume();
  }

  /** Closes the connection; the sink (or `start`) fails with `aborted`. */
  abort(): void {
    if (this.isAborted || this.ending !== null) return;
    this.isAborted = true;
    this.controller?.abort(new Error('aborted'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.isAborted) controller.abort(new Error('aborted'));
    else noteStart(this);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200) return;
    this.hasHead = true;
    this.resolve({ kind: 'answered', head: { status, headers } });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.sink === null) {
      this.early.push(chunk);
      controller.pause();
    } else if (!this.sink.data(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.finish('end');
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const failure = this.isAborted ? 'aborted' : failureOf(error, this.hasHead);
    if (this.hasHead) this.finish(failure);
    else {
      this.resolve({
        kind: 'failed',
        failure,
        isReusedConnection: this.isReusedConnection,
        message: error.message.slice(0, 200),
      });
    }
  }

  private finish(ending: 'end' | UpstreamFailure): void {
    this.ending = ending;
    const { sink } = this;
    if (sink === null) return;
    this.sink = null;
    if (ending === 'end') sink.end();
    else sink.fail(ending);
  }
}

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
  'EPROTO',
]);

function failureOf(error: Error, hasHead: boolean): UpstreamFailure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!hasHead && UNREACHABLE.has(code)) return 'unreachable';
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return 'headers_timeout';
  if (code === 'UND_ERR_BODY_TIMEOUT') return 'idle_timeout';
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') return 'malformed';
  return 'reset';
}
