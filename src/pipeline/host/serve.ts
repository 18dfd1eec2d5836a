/** What a stage host does with the frames of its peer, whatever computes its parts: loads ranges, and serves sessions. */
import { readFile } from 'node:fs/promises'
import { errorData } from '../../errors.ts'
import { checkManifest } from '../../models/index.ts'
import type { ModelManifest } from '../../models/index.ts'
import { decodeControl, encodeControl, frame } from '../../net/index.ts'
import type { Frame } from '../../net/index.ts'
import type { Clock } from '../../util/index.ts'
import type { HostParts } from './parts.ts'
import { HOST } from './protocol.ts'
import type { CloseControl, LoadControl, LoadedControl, OpenControl } from './protocol.ts'
import { StageRuntime } from './runtime.ts'
import type { Grammars } from './grammar/grammars.ts'

export interface HostNeeds {
  readonly clock: Clock
  readonly kernel: string
  readonly emit: (value: Frame) => void
  /** Made with the first load; later ones add ranges to them. */
  createParts(control: LoadControl, manifest: ModelManifest): Promise<HostParts>
  /** For answers that have a format. @default they are refused */
  grammars?(control: LoadControl, manifest: ModelManifest): Grammars
  /** @default of this process */
  readonly resident?: () => number
  /** A load has been answered. */
  loaded?(): void
}

export class HostServer {
  readonly #needs: HostNeeds
  #parts: HostParts | undefined
  #runtime: StageRuntime | undefined

  constructor(needs: HostNeeds) {
    this.#needs = needs
  }

  async onFrame(message: Frame): Promise<void> {
    if (message.type === HOST.load) await this.#load(message)
    else this.#serve(message)
  }

  /** The first call makes the runtime, later ones add ranges to it; sessions go on. */
  async #load(message: Frame): Promise<void> {
    const { clock, emit, kernel } = this.#needs
    const answer = (type: number, value: unknown): void =>
      emit(frame({ type, request: message.request, control: encodeControl(value) }))
    try {
      const control = decodeControl(message.control) as LoadControl
      const started = clock.now()
      const parts = this.#parts ?? (await this.#create(control))
      const before = parts.packed
      for (const [from, to] of control.ranges) await parts.load(from, to)
      const loaded: LoadedControl = {
        kernel,
        loadMs: clock.now() - started,
        packed: parts.packed - before,
        prepacked: parts.plain.size === 0,
      }
      answer(HOST.loaded, loaded)
      this.#needs.loaded?.()
    } catch (error) {
      answer(HOST.refused, errorData(error))
    }
  }

  async #create(control: LoadControl): Promise<HostParts> {
    const { clock, emit, resident } = this.#needs
    const manifest = checkManifest(JSON.parse(await readFile(control.manifestPath, 'utf8')))
    const parts = await this.#needs.createParts(control, manifest)
    this.#parts = parts
    const memory = resident === undefined ? {} : { resident }
    const { kvBytes } = control
    const grammars = this.#needs.grammars?.(control, manifest)
    this.#runtime = new StageRuntime({ clock, manifest, parts, kvBytes, emit, grammars, ...memory })
    return parts
  }

  #serve(message: Frame): void {
    const runtime = this.#runtime
    if (runtime === undefined) return
    if (message.type === HOST.open) runtime.open(message, decodeControl(message.control) as OpenControl)
    else if (message.type === HOST.run) runtime.run(message)
    else if (message.type === HOST.close) runtime.close(message, closeControl(message))
    else if (message.type === HOST.apart) runtime.apart(message)
    else if (message.type === HOST.stats) {
      const control = encodeControl(runtime.stats())
      this.#needs.emit(frame({ type: HOST.statsReply, request: message.request, control }))
    }
  }
}

function closeControl({ control }: Frame): CloseControl {
  return control.length === 0 ? {} : (decodeControl(control) as CloseControl)
}
