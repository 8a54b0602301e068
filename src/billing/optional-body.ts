import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { ApiValidationPipe } from '../http/validation.pipe.js';

/** A body that `OptionalBodyPipe` checked: the type says nothing that Nest would check before it. */
export type Given<Body> = Readonly<Body>;

/** Checks a body that may be missing: then it is one without fields. */
@Injectable()
export class OptionalBodyPipe<Body extends object> implements PipeTransform<
  unknown,
  Promise<Body>
> {
  private readonly pipe = new ApiValidationPipe();

  constructor(private readonly bodyClass: new () => Body) {}

  async transform(value: unknown, metadata: ArgumentMetadata): Promise<Body> {
    const checked = { ...metadata, metatype: this.bodyClass };
    return (await this.pipe.transform(value ?? {}, checked)) as Body;
  }
}
