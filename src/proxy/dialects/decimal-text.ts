/**
 * Decimals as text: a figure of money never passes through a float. A text longer than this is
 * nobody's price.
 */
const DECIMAL_TEXT_MAX = 128;
const NUMBER = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

/**
 * The plain decimal text of a JSON number >= 0: the text as it stands where it has no exponent,
 * else the exact expansion (`1.5e-7` is `0.00000015`). Null for a negative number, for anything
 * that is not a number, and where the text would be longer than 128 characters.
 */
export function plainDecimal(numberText: string): string | null {
  const parts = numberText.length > DECIMAL_TEXT_MAX ? null : NUMBER.exec(numberText);
  if (parts === null) return null;
  const whole = parts[2] ?? '';
  const fraction = parts[3] ?? '';
  const isZero = /^0*$/.test(whole + fraction);
  if (parts[1] === '-') return isZero ? '0' : null;
  if (parts[4] === undefined) return numberText;
  if (isZero) return '0';
  return shiftedDecimal(whole, fraction, Number(parts[4]));
}

/** `whole.fraction` times ten to the power of `exponent`, exactly. */
export function shiftedDecimal(whole: string, fraction: string, exponent: number): string | null {
  if (Math.abs(exponent) > DECIMAL_TEXT_MAX) return null;
  const digits = whole + fraction;
  const point = whole.length + exponent;
  const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits;
  const pointAt = point <= 0 ? 1 : point;
  const wholeDigits = padded
    .slice(0, pointAt)
    .padEnd(pointAt, '0')
    .replace(/^0+(?=[0-9])/, '');
  const fractionDigits = padded.slice(pointAt).replace(/0+$/, '');
  const text = fractionDigits === '' ? wholeDigits : `${wholeDigits}.${fractionDigits}`;
  return text.length > DECIMAL_TEXT_MAX ? null : text;
}

/** Whether the JSON number is a whole number as it is written: `12.0` and `1e3` are, `0.5` is not. */
export function isWholeNumberText(numberText: string): boolean {
  const plain = plainDecimal(numberText);
  return plain !== null && !/\.[0-9]*[1-9]/.test(plain);
}

/** Negative where a < b. Both are plain decimals >= 0. */
export function compareDecimals(a: string, b: string): number {
  const [wholeA = '', fractionA = ''] = a.split('.');
  const [wholeB = '', fractionB = ''] = b.split('.');
  const digitsA = wholeA.replace(/^0+/, '');
  const digitsB = wholeB.replace(/^0+/, '');
  if (digitsA.length !== digitsB.length) return digitsA.length - digitsB.length;
  const length = Math.max(fractionA.length, fractionB.length);
  const wholeNumberA = digitsA + fractionA.padEnd(length, '0');
  const wholeNumberB = digitsB + fractionB.padEnd(length, '0');
  if (wholeNumberA === wholeNumberB) return 0;
  return wholeNumberA < wholeNumberB ? -1 : 1;
}
