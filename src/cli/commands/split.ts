/** weft split MODEL: one runnable ONNX file a partition, and the manifest of how they chain. */
import { resolve } from 'node:path'
import { balanceLine, bestLine } from '../balance-view.ts'
import type { BalanceView, BestView } from '../balance-view.ts'
import type { Command, CommandContext } from '../context.ts'
import { UsageError } from '../errors.ts'
import { loadFunction } from '../rooms.ts'
import { createProgress } from '../progress.ts'
import { formatBytes } from '../format.ts'
import { printable, table } from '../text.ts'

interface SplitPartition {
  readonly file: string
  readonly blocks: readonly [number, number]
  readonly outputs: readonly { readonly name: string; readonly bytes: number }[]
}

/** The manifest that `splitModel` writes and returns; a verdict says why there are fewer parts than asked. */
interface SplitManifest {
  readonly schema: 'weft.split/1'
  readonly partitions: readonly SplitPartition[]
  readonly balance?: BalanceView
  readonly verdict?: string
  readonly why?: string
  readonly best?: BestView
  /** Of `--check`: values compared, and the rows of each run or how many there were. */
  readonly check?: { readonly compared: number; readonly runs: readonly number[] | number }
  /** Of a file that could not be checked. */
  readonly unchecked?: string
}

export const command: Command = async (context) => {
  const { flags, home, io, out, signal } = context
  const [parts, cuts, target] = [flags.number('parts'), flags.numbers('cuts'), flags.text('out')]
  if (target === undefined) throw new UsageError('weft split needs -o DIR', 'usage: weft split MODEL --parts N -o DIR')
  if (parts !== undefined && cuts !== undefined) throw new UsageError('--parts and --cuts exclude each other')
  if (cuts !== undefined && cuts.some((cut, index) => cut <= (cuts[index - 1] ?? 0))) {
    throw new UsageError('--cuts must rise: each is the block that a partition begins with')
  }
  const splitModel = await loadFunction('peer', 'splitModel')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const request = {
    home,
    model: flags.required(0),
    parts,
    cuts,
    memory: flags.number('memory'),
    out: resolve(target),
    check: flags.flag('check'),
  }
  const manifest = (await splitModel(request, progress.sink, signal)) as SplitManifest
  progress.end()
  if (out.structured) {
    out.document(manifest)
    return
  }
  printNotes(out, manifest)
  const rows = manifest.partitions.map((part) => [
    printable(part.file),
    `${part.blocks[0]}:${part.blocks[1]}`,
    outputsText(part),
  ])
  out.lines(table([{ head: 'FILE' }, { head: 'BLOCKS' }, { head: 'OUTPUTS' }], rows))
}

function printNotes(out: CommandContext['out'], manifest: SplitManifest): void {
  if (manifest.verdict !== undefined) out.note(`${printable(manifest.verdict)}: ${printable(manifest.why ?? '')}`)
  if (manifest.best !== undefined) out.note(bestLine(manifest.best))
  if (manifest.balance !== undefined) out.note(balanceLine(manifest.balance))
  if (manifest.check !== undefined) {
    const { compared, runs } = manifest.check
    const count = typeof runs === 'number' ? runs : runs.length
    out.note(`whole and split give the same bits: ${compared} values in ${count} runs`)
  }
  if (manifest.unchecked !== undefined) out.note(`not compared with the whole: ${printable(manifest.unchecked)}`)
}

/** What goes out first, with 1 for each free dimension, and how many more values: caches, in a language model. */
function outputsText({ outputs }: SplitPartition): string {
  const [first] = outputs
  if (first === undefined) return '-'
  const more = outputs.length - 1
  const what = outputs.at(-1)!.name.startsWith('present.') ? 'caches' : 'more'
  return `${printable(first.name)} ${formatBytes(first.bytes)}${more === 0 ? '' : ` + ${more} ${what}`}`
}
