/**
 * How long a WAV file plays, from its first bytes and its length; null for anything that is none. A
 * header that promises more samples than came (a recording that was streamed) is not believed.
 */
export function wavLengthMs(head: Buffer, fileBytes: number): number | null {
  if (head.toString('latin1', 0, 4) !== 'RIFF' || head.toString('latin1', 8, 12) !== 'WAVE') {
    return null;
  }
  let bytesPerSecond = 0;
  for (let at = 12; at + 8 <= head.length;) {
    const name = head.toString('latin1', at, at + 4);
    const size = head.readUInt32LE(at + 4);
    const content = at + 8;
    if (name === 'fmt ' && content + 12 <= head.length) {
      bytesPerSecond = head.readUInt32LE(content + 8);
    }
    if (name === 'data') {
      const samples = Math.min(size, fileBytes - content);
      return bytesPerSecond === 0 ? null : Math.floor((samples * 1_000) / bytesPerSecond);
    }
    // Chunks begin at even places.
    at = content + size + (size % 2);
  }
  return null;
}
