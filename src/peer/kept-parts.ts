/** Models cut for their places, kept: preparing one reads and hashes the whole of its file, which is too much a text. */
import type { GraphManifest } from '../models/index.ts'
import type { Optimization } from '../onnx/index.ts'
import { orAbort } from '../util/index.ts'
import { graphParts } from './graph-parts.ts'
import type { GraphParts, GraphPartsNeeds, GraphPlaces } from './graph-parts.ts'

/** Each is a skeleton, of a few hundred KB. */
const KEPT = 8

export class KeptParts {
  readonly #needs: GraphPartsNeeds
  readonly #known = new Map<string, Promise<GraphParts>>()

  constructor(needs: GraphPartsNeeds) {
    this.#needs = needs
  }

  /** Not ended by one caller: another may wait for the same. @throws as `graphParts`, the signal's reason */
  async of(
    manifest: GraphManifest,
    places: GraphPlaces & { readonly optimization?: Optimization },
    signal?: AbortSignal,
  ): Promise<GraphParts> {
    const key = JSON.stringify([manifest.digest, places])
    const known = this.#known.get(key) ?? graphParts(this.#needs, manifest, places)
    this.#known.delete(key)
    this.#known.set(key, known)
    known.catch(() => this.#known.delete(key))
    for (const oldest of this.#known.keys()) if (this.#known.size > KEPT) this.#known.delete(oldest)
    return signal === undefined ? known : orAbort(known, signal)
  }
}
