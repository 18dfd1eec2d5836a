/** weft show MODEL: its shape, its blocks, their sizes, its licence; of a file, what its header tells of them. */
import { stat } from 'node:fs/promises'
import type { DecoderShape, ModelManifest, OutlineBlock } from '../../models/index.ts'
import type { AnyFileOutline } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { formatBytes, plural } from '../format.ts'
import { graphLines, outlineLines } from '../graph-view.ts'
import { qualityLine } from '../quality-view.ts'
import { loadFunction } from '../rooms.ts'
import { printable, table } from '../text.ts'

export const command: Command = async (context) => {
  const { flags, home, out, signal } = context
  const name = flags.required(0)
  if (await isPath(name)) {
    const outlineFile = await loadFunction('peer', 'outlineFile')
    const outline = (await outlineFile({ home, path: name }, signal)) as AnyFileOutline
    if (out.structured) out.document(outline)
    else if ('kind' in outline) out.lines(outlineLines(outline))
    else out.lines([...facts(outline.path, [['licence', printable(outline.license)]], outline), '', ...blocks(outline)])
    return
  }
  const access = await openFor(context, 'never')
  await ensureModel(context, access, name, signal)
  const manifest = await access.manifest(name, signal)
  if (out.structured) out.document({ ...manifest, schema: 'weft.manifest/1' })
  else if ('kind' in manifest) out.lines(graphLines(manifest))
  else out.lines([...manifestFacts(manifest), '', ...blocks(manifest)])
}

/** A file, or a folder that is named as a path: what a model may be called like does not count. */
async function isPath(name: string): Promise<boolean> {
  const found = await stat(name).catch(() => null)
  return found?.isFile() === true || (found?.isDirectory() === true && /[\\/]/.test(name))
}

interface Shown {
  readonly shape: DecoderShape
  readonly blocks: readonly OutlineBlock[]
}

function manifestFacts(manifest: ModelManifest): string[] {
  const { boundary, digest, license, model, quality, source } = manifest
  const first = [
    ['digest', digest],
    ['licence', printable(license)],
    ['source', printable(source)],
  ]
  const last = quality === undefined ? [] : [['quality', qualityLine(quality)]]
  return facts(model, first, manifest, [['boundary', boundary], ...last])
}

function facts(title: string, first: string[][], { shape, blocks: all }: Shown, last: string[][] = []): string[] {
  const sum = (of: (block: OutlineBlock) => number): number => all.reduce((total, block) => total + of(block), 0)
  return table(
    [{ head: printable(title) }, { head: '' }],
    [
      ...first,
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
      ...last,
    ],
  )
}

/** Runs of equal blocks share a line. */
function blocks({ blocks: all }: Pick<Shown, 'blocks'>): string[] {
  const rows: string[][] = []
  let from = 0
  for (const [index, block] of all.entries()) {
    const next = all[index + 1]
    if (next !== undefined && sameKind(block, next)) continue
    const count = index + 1 - from
    const range = count === 1 ? String(from) : `${from}..${index}`
    const each = count === 1 ? '' : ' each'
    rows.push([range, block.kind, block.weights, formatBytes(block.bytes) + each, formatBytes(block.memory) + each])
    from = index + 1
  }
  return table([{ head: 'BLOCK' }, { head: 'KIND' }, { head: 'WEIGHTS' }, { head: 'STORED' }, { head: 'LOADED' }], rows)
}

function sameKind(left: OutlineBlock, right: OutlineBlock): boolean {
  return (
    left.kind === right.kind &&
    left.weights === right.weights &&
    left.bytes === right.bytes &&
    left.memory === right.memory
  )
}
