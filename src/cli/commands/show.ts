/** weft show MODEL: its shape, its blocks, their sizes, its licence. */
import type { Block, ModelManifest } from '../../models/index.ts'
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { formatBytes, plural } from '../format.ts'
import { graphLines } from '../graph-view.ts'
import { qualityLine } from '../quality-view.ts'
import { printable, table } from '../text.ts'

export const command: Command = async (context) => {
  const { flags, out, signal } = context
  const manifest = await (await openFor(context, 'never')).manifest(flags.required(0), signal)
  if (out.structured) out.document({ ...manifest, schema: 'weft.manifest/1' })
  else if ('kind' in manifest) out.lines(graphLines(manifest))
  else out.lines([...facts(manifest), '', ...blocks(manifest)])
}

function facts(manifest: ModelManifest): string[] {
  const { shape } = manifest
  const sum = (of: (block: Block) => number): number => manifest.blocks.reduce((total, block) => total + of(block), 0)
  return table(
    [{ head: printable(manifest.model) }, { head: '' }],
    [
      ['digest', manifest.digest],
      ['licence', printable(manifest.license)],
      ['source', printable(manifest.source)],
      [
        'size',
        `${formatBytes(sum((block) => block.bytes))} stored, ${formatBytes(sum((block) => block.memory))} loaded`,
      ],
      [
        'shape',
        `${shape.family}, ${plural(shape.layers, 'layer')} of ${shape.width}, ${shape.heads} heads (${shape.kv_heads} of keys)`,
      ],
      ['context', `${shape.context} tokens, ${formatBytes(sum((block) => block.kv_bytes))} a token`],
      ['vocabulary', `${shape.vocabulary} tokens`],
      ['boundary', manifest.boundary],
      ...(manifest.quality === undefined ? [] : [['quality', qualityLine(manifest.quality)]]),
    ],
  )
}

/** Runs of equal blocks share a line. */
function blocks(manifest: ModelManifest): string[] {
  const rows: string[][] = []
  let from = 0
  for (const [index, block] of manifest.blocks.entries()) {
    const next = manifest.blocks[index + 1]
    if (next !== undefined && sameKind(block, next)) continue
    const count = index + 1 - from
    const range = count === 1 ? String(from) : `${from}..${index}`
    const each = count === 1 ? '' : ' each'
    rows.push([range, block.kind, block.weights, formatBytes(block.bytes) + each, formatBytes(block.memory) + each])
    from = index + 1
  }
  return table([{ head: 'BLOCK' }, { head: 'KIND' }, { head: 'WEIGHTS' }, { head: 'STORED' }, { head: 'LOADED' }], rows)
}

function sameKind(left: Block, right: Block): boolean {
  return (
    left.kind === right.kind &&
    left.weights === right.weights &&
    left.bytes === right.bytes &&
    left.memory === right.memory
  )
}
