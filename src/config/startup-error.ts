/** A failure to start that the operator can mend: its message is shown as it is, without a stack. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
