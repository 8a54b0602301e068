/**
 * A strict reader of multipart/form-data, fed with chunks cut anywhere. What it accepts every
 * receiver reads in the same way; whatever two of them could read differently is refused: a
 * preamble, line feeds without a carriage return, the boundary inside a part, folded or repeated
 * headers, escaped names, transfer encodings, nested parts.
 */
export interface PartHead {
  readonly name: string;
  /** It has a file name: never a plain field. */
  readonly isFile: boolean;
  /** In lower case, without parameters; null where the part states none. */
  readonly contentType: string | null;
  readonly charset: string | null;
  /** The header block as it came. */
  readonly bytes: Buffer;
}

export interface PartVisitor {
  /** A part begins; what is returned refuses the body. */
  begin(head: PartHead, at: number): MultipartProblem | null;
  data(bytes: Buffer): MultipartProblem | null;
  /** The part ends before this offset of the body. */
  end(at: number): MultipartProblem | null;
}

export interface MultipartProblem {
  /** The field that is wrong; null: the body as a whole. */
  readonly field: string | null;
  readonly message: string;
}

export const PARTS_MAX = 128;
const HEAD_MAX_BYTES = 8 * 1024;
const HEADERS_MAX = 16;

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;
const HEAD_END = Buffer.from('\r\n\r\n');

/** `boundary` of a content type: 1 to 70 characters of the standard's set; null: none, or two. */
export function boundaryOf(contentType: string): string | null {
  const params = paramsOf(contentType.replace(/^[^;]*/, ''));
  const boundary = params?.get('boundary');
  if (boundary === undefined) return null;
  return /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/.test(boundary) ? boundary : null;
}

type State = 'start' | 'head' | 'body' | 'delimiter' | 'epilogue' | 'broken';

export class MultipartScanner {
  private state: State = 'start';
  private readonly dashBoundary: Buffer;
  /** What was not decided yet, and its offset in the body. */
  private pending: Buffer = Buffer.alloc(0);
  private pendingAt = 0;
  private contentStart = 0;
  private parts = 0;

  constructor(
    boundary: string,
    private readonly visitor: PartVisitor,
  ) {
    this.dashBoundary = Buffer.from(`--${boundary}`);
  }

  /** Reads on; what it returns refuses the body for good. */
  push(chunk: Buffer): MultipartProblem | null {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    for (;;) {
      const before = this.state;
      const problem = this.step();
      if (problem !== null) {
        this.state = 'broken';
        this.pending = Buffer.alloc(0);
        return problem;
      }
      // Still in the same state: it waits for more bytes.
      if (this.state === before) break;
    }
    // The chunk is the socket's: what is kept of it must not keep all of it.
    if (this.pending.length > 0) this.pending = Buffer.from(this.pending);
    return null;
  }

  /** The body is complete. */
  end(): MultipartProblem | null {
    if (this.state === 'broken') return null;
    if (this.state !== 'epilogue') return whole('The multipart body ends before its last boundary');
    const isPlain = this.pending.length === 0 || this.pending.equals(Buffer.from('\r\n'));
    return isPlain ? null : whole('Something follows the last boundary of the multipart body');
  }

  private step(): MultipartProblem | null {
    switch (this.state) {
      case 'start':
        return this.readStart();
      case 'head':
        return this.readHead();
      case 'body':
        return this.readContent();
      case 'delimiter':
        return this.readDelimiter();
      case 'epilogue':
        return this.pending.length <= 2
          ? null
          : whole('Something follows the last boundary of the multipart body');
      case 'broken':
        return null;
    }
  }

  private consume(bytes: number): void {
    this.pending = this.pending.subarray(bytes);
    this.pendingAt += bytes;
  }

  private readStart(): MultipartProblem | null {
    const { pending, dashBoundary } = this;
    const length = Math.min(pending.length, dashBoundary.length);
    if (!pending.subarray(0, length).equals(dashBoundary.subarray(0, length))) {
      return whole('The multipart body must begin with the boundary that its content type names');
    }
    if (length < dashBoundary.length) return null;
    this.consume(length);
    this.state = 'delimiter';
    return null;
  }

  private readDelimiter(): MultipartProblem | null {
    const { pending } = this;
    if (pending.length < 2) return null;
    if (pending[0] === CR && pending[1] === LF) this.state = 'head';
    else if (pending[0] === DASH && pending[1] === DASH) this.state = 'epilogue';
    else return whole('A boundary of the multipart body is followed by something else on its line');
    this.consume(2);
    return null;
  }

  private readHead(): MultipartProblem | null {
    const { pending } = this;
    const end = pending.indexOf(HEAD_END);
    if (end > HEAD_MAX_BYTES || (end < 0 && pending.length > HEAD_MAX_BYTES + HEAD_END.length)) {
      return whole('The headers of a part are too long');
    }
    if (end < 0) return null;
    const head = readPartHead(Buffer.from(pending.subarray(0, end)));
    if ('message' in head) return head;
    this.parts += 1;
    if (this.parts > PARTS_MAX) {
      return whole(`The multipart body has more than ${PARTS_MAX} parts`);
    }
    this.consume(end + HEAD_END.length);
    this.contentStart = this.pendingAt;
    this.state = 'body';
    return this.visitor.begin(head, this.contentStart);
  }

  private readContent(): MultipartProblem | null {
    const { pending, dashBoundary, visitor } = this;
    const at = pending.indexOf(dashBoundary);
    if (at < 0) {
      // The end may be a beginning of the delimiter.
      const passing = pending.length - (dashBoundary.length + 1);
      if (passing <= 0) return null;
      const bytes = pending.subarray(0, passing);
      this.consume(passing);
      return visitor.data(bytes);
    }
    const isOnItsLine =
      this.pendingAt + at - 2 >= this.contentStart &&
      pending[at - 2] === CR &&
      pending[at - 1] === LF;
    if (!isOnItsLine) {
      return whole('The boundary of the multipart body occurs inside a part; choose another');
    }
    const problem = at > 2 ? visitor.data(pending.subarray(0, at - 2)) : null;
    if (problem !== null) return problem;
    const end = this.pendingAt + at - 2;
    this.consume(at + dashBoundary.length);
    this.state = 'delimiter';
    return visitor.end(end);
  }
}

function whole(sentence: string): MultipartProblem {
  return { field: null, message: `${sentence}.` };
}

const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)$/s;

/** In text read byte by byte: bytes of 0x80 and more belong to characters. */
function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

function readPartHead(bytes: Buffer): PartHead | MultipartProblem {
  const headers = new Map<string, string>();
  const lines = bytes.length === 0 ? [] : bytes.toString('latin1').split('\r\n');
  if (lines.length > HEADERS_MAX) return whole('A part has too many headers');
  for (const line of lines) {
    const match = HEADER.exec(line);
    if (match === null || hasControl(line)) {
      return whole('A part has a header that is not well formed');
    }
    const name = (match[1] ?? '').toLowerCase();
    if (headers.has(name)) return whole(`A part has the header \`${name}\` twice`);
    headers.set(name, (match[2] ?? '').trim());
  }
  const disposition = headers.get('content-disposition') ?? '';
  const params = /^form-data\s*(?=;)/i.test(disposition)
    ? paramsOf(disposition.replace(/^[^;]*/, ''))
    : null;
  const name = params?.get('name');
  if (params === null || name === undefined || name === '') {
    return whole('Each part needs a header `Content-Disposition: form-data; name="..."`');
  }
  // Some receivers undo an escape, others do not.
  if (name.includes('\\') || params.has('name*')) {
    return whole('The name of a part is escaped; send it as it is');
  }
  const transfer = headers.get('content-transfer-encoding')?.toLowerCase() ?? 'binary';
  if (!['7bit', '8bit', 'binary'].includes(transfer)) {
    const message = `\`${name}\` has a Content-Transfer-Encoding; send it as it is.`;
    return { field: name, message };
  }
  const type = headers.get('content-type') ?? null;
  const contentType = type === null ? null : (type.split(';')[0] ?? '').trim().toLowerCase();
  if (contentType?.startsWith('multipart/') === true) {
    return { field: name, message: `\`${name}\` has parts of its own; send them one by one.` };
  }
  const typeParams = type === null ? null : paramsOf(type.replace(/^[^;]*/, ''));
  return {
    name,
    isFile: params.has('filename') || params.has('filename*'),
    contentType,
    charset: typeParams?.get('charset')?.toLowerCase() ?? null,
    bytes,
  };
}

const PARAM = /\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*/y;

/** Parameters as they are written, escapes left in; null where they are not well formed or repeat. */
function paramsOf(text: string): ReadonlyMap<string, string> | null {
  const params = new Map<string, string>();
  const rest = text.replace(/\s*;?\s*$/, '');
  PARAM.lastIndex = 0;
  let at = 0;
  while (at < rest.length) {
    const match = PARAM.exec(rest);
    if (match === null) return null;
    at = PARAM.lastIndex;
    const name = (match[1] ?? '').toLowerCase();
    if (params.has(name)) return null;
    params.set(name, match[2] ?? match[3] ?? '');
  }
  return params;
}
