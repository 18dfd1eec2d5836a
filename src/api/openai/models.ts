/** `GET /v1/models` and `/v1/models/{id}`: every model that can be asked for, loaded or not. */
import type { ModelSummary, Peer } from '../../peer/index.ts'
import { NoSuchModelError } from '../request-errors.ts'

export interface ModelObject {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: 'weft'
  readonly weft: Omit<ModelSummary, 'model'>
}

/** `created`: the start of this API; the time of an import is not kept, and clients need an integer. */
export async function listModels(peer: Peer, created: number): Promise<{ object: 'list'; data: ModelObject[] }> {
  const models = await peer.models()
  return { object: 'list', data: models.map((summary) => modelObject(summary, created)) }
}

/** @throws NoSuchModelError */
export async function getModel(peer: Peer, created: number, id: string): Promise<ModelObject> {
  const models = await peer.models()
  const found = models.find((summary) => summary.model === id)
  if (found === undefined) throw new NoSuchModelError(id)
  return modelObject(found, created)
}

function modelObject({ model, ...rest }: ModelSummary, created: number): ModelObject {
  return { id: model, object: 'model', created, owned_by: 'weft', weft: rest }
}
