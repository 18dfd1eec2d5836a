/** A file that comes as a form: the one content type beside JSON that is taken, and on one route. */
import { FormError } from './errors.ts'

export interface UploadedFile {
  readonly filename: string
  readonly purpose: string
  readonly content: Uint8Array
}

/** @throws FormError */
export async function readForm(body: Uint8Array, contentType: string): Promise<UploadedFile> {
  const form = await parsed(body, contentType)
  const [file, purpose] = [form.get('file'), form.get('purpose')]
  if (file === null || typeof file === 'string') throw new FormError('it has no file in the field "file"')
  if (typeof purpose !== 'string') throw new FormError('it has no text in the field "purpose"')
  const content = new Uint8Array(await file.arrayBuffer())
  return { filename: (file.name === '' ? 'batch.jsonl' : file.name).slice(0, 255), purpose, content }
}

async function parsed(body: Uint8Array, contentType: string): Promise<FormData> {
  try {
    return await new Response(Buffer.from(body), { headers: { 'content-type': contentType } }).formData()
  } catch {
    throw new FormError('it is no multipart/form-data')
  }
}
