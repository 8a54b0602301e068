import { applyDecorators } from '@nestjs/common';
import { ApiBearerAuth, ApiDefaultResponse, ApiProperty, ApiTags } from '@nestjs/swagger';

class ErrorView {
  @ApiProperty({ type: String, description: 'For people; may change.' })
  message!: string;
  @ApiProperty({ type: String })
  type!: string;
  @ApiProperty({ type: String, nullable: true, description: 'The field that is wrong.' })
  param!: string | null;
  @ApiProperty({ type: String, description: 'Stable.', example: 'invalid_request' })
  code!: string;
  @ApiProperty({
    nullable: true,
    description: 'For `invalid_request` a list of {field, problem}.',
    oneOf: [
      { type: 'object', additionalProperties: true },
      { type: 'array', items: {} },
    ],
  })
  details!: unknown;
}

class ErrorAnswer {
  @ApiProperty({ type: ErrorView })
  error!: ErrorView;
}

/** What the OpenAPI document says of every controller of ours: its tag, the token, the error shape. */
export function DocumentedApi(tag: string): ClassDecorator {
  return applyDecorators(
    ApiTags(tag),
    ApiBearerAuth(),
    ApiDefaultResponse({ type: ErrorAnswer, description: 'Refused; `error.code` says why.' }),
  );
}
