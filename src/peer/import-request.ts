/** What an import is asked for, as models/ takes it. */
import type { ModelImportRequest } from '../models/index.ts'
import type { ImportRequest } from './types.ts'

export function requestOf({ source, name, weights, measure, calibration }: ImportRequest): ModelImportRequest {
  return {
    source,
    ...(name === undefined ? {} : { name }),
    ...(weights === undefined ? {} : { weights }),
    ...(measure === undefined ? {} : { measure }),
    ...(calibration === undefined ? {} : { calibration }),
    // The reference format keeps float32 at the boundaries as well (docs/decisions.md).
    ...(weights === 'f32' ? { boundary: 'f32' as const } : {}),
  }
}
