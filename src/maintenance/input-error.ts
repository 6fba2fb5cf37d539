import { CqrsError } from '../core/errors.js';

/** What an operator's command was given cannot be worked with: a stream that is empty or of another kind, a bad line. */
export class InputError extends CqrsError {
  readonly code = 'input';

  constructor(message: string, cure = '', options?: ErrorOptions) {
    super(message, {}, cure, options);
  }
}
