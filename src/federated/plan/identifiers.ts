/** Columns whose name says that they tell who somebody is: no model and no statistic of a federation is made of them. */
import { FedPlanError } from './errors.ts'

const NAMES = new Set(
  (
    'ssn socialsecurity socialsecuritynumber nationalid nationalidnumber nhsnumber insurancenumber passport passportnumber ' +
    'patientid patientname patientnumber personid medicalrecordnumber mrn firstname lastname middlename surname fullname ' +
    'givenname familyname maidenname email emailaddress phone phonenumber telephone mobile fax address street streetaddress ' +
    'homeaddress iban accountnumber creditcard licenseplate ipaddress'
  ).split(' '),
)

/** `Patient-Name` is `patientname`. */
export function isIdentifier(column: string): boolean {
  return NAMES.has(column.toLowerCase().replace(/[^a-z0-9]/g, ''))
}

/** @throws FedPlanError: it names the column */
export function checkIdentifiers(columns: readonly (string | undefined)[], field: string, where: string): void {
  const found = columns.find((column) => column !== undefined && isIdentifier(column))
  if (found === undefined) return
  const why = `asks for ${JSON.stringify(found)}, which by its name tells who a person is`
  throw new FedPlanError(where, field, why)
}
