import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { refusal, TollgateError } from '../domain/errors.js';
import { ModelsService, type ModelView } from './models.service.js';

/** The public catalogue in the router's own shape; no token is needed. */
@ApiTags('models')
@Controller('v1/models')
export class ModelsController {
  constructor(private readonly models: ModelsService) {}

  @Get()
  @Header('content-type', 'application/json; charset=utf-8')
  @ApiOkResponse({ description: 'Every model with its providers and what they cost, USD per 1M.' })
  async list(): Promise<Buffer> {
    return this.models.listJson();
  }

  /** `org/name` as it is, with its slash encoded, or without it. */
  @Get('*')
  @ApiOkResponse({ description: 'One model.' })
  find(@Param('*') id: string): ModelView {
    const found = this.models.find(id);
    if (found.kind === 'found') return found.model;
    throw new TollgateError(
      refusal('not_found', `The model ${JSON.stringify(id)} does not exist.`, {
        param: 'model',
        details: { closest: found.closest },
      }),
    );
  }
}
