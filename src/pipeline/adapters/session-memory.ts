/** What a session holds of a stage's memory: its adapters with their gradients, and what micro-batches leave for their way back. */
import type { ModelManifest } from '../../models/index.ts'
import type { TrainHosts } from './hosts.ts'

type Give = () => void

export class SessionMemory {
  readonly #hosts: TrainHosts
  readonly #manifest: ModelManifest
  readonly #micros = new Map<number, Give>()
  #adapters: Give | undefined

  constructor(hosts: TrainHosts, manifest: ModelManifest) {
    this.#hosts = hosts
    this.#manifest = manifest
  }

  /** A step begins: what was of the one before is given back. @param bytes of adapters and gradients @throws MemoryQuotaError */
  begin(bytes: number): void {
    this.free()
    this.#adapters = this.#hosts.hold(this.#manifest, bytes)
  }

  /** @param bytes that stay until the gradient of this micro-batch comes @throws MemoryQuotaError */
  keep(micro: number, bytes: number): void {
    this.returned(micro)
    this.#micros.set(micro, this.#hosts.hold(this.#manifest, bytes))
  }

  returned(micro: number): void {
    this.#micros.get(micro)?.()
    this.#micros.delete(micro)
  }

  free(): void {
    this.#adapters?.()
    this.#adapters = undefined
    for (const micro of this.#micros.keys()) this.returned(micro)
  }
}
