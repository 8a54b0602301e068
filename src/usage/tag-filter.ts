import { ApiQuery } from '@nestjs/swagger';

/** Documents `tag:<key>=<value>`, of which there may be several. */
export function ApiTagFilter(): MethodDecorator {
  return ApiQuery({
    name: 'tag:{key}',
    required: false,
    schema: { type: 'string', maxLength: 64 },
    description: 'Only requests that carry this tag with this value, such as `tag:project=search`.',
  });
}
