const HEADER_BYTES = 44;
const SAMPLES_PER_SECOND = 8_000;

/** Silence of a length: 8 kHz, mono, 16 bit. */
export function wavOf(lengthMs: number): Buffer {
  const dataBytes = (lengthMs * SAMPLES_PER_SECOND * 2) / 1000;
  return Buffer.concat([wavHeader(dataBytes), Buffer.alloc(dataBytes)]);
}

/** What stands before so many bytes of sound. */
export function wavHeader(dataBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('RIFF', 0);
  header.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(SAMPLES_PER_SECOND, 24);
  header.writeUInt32LE(SAMPLES_PER_SECOND * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(dataBytes, 40);
  return header;
}
