import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';

export class ReadinessQuery {
  @ApiPropertyOptional({ enum: ['1'], description: 'Ask the store now as well.' })
  @IsOptional()
  @IsIn(['1'], { message: 'must be 1, or left out' })
  deep?: '1';
}

export class LivenessAnswer {
  @ApiProperty({ enum: ['ok'] })
  status!: 'ok';
}

export class ReadinessAnswer {
  @ApiProperty({ enum: ['ready', 'starting', 'stopping', 'store_down'] })
  status!: 'ready' | 'starting' | 'stopping' | 'store_down';

  @ApiPropertyOptional({ type: [String], description: 'What a start still waits for.' })
  waitingFor?: readonly string[];
}
