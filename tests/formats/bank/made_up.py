"""Statements of a bank that there is not, for people who are not; one of each format, and all say the same."""

from __future__ import annotations

from ledgerctl.config import StatementMap

MT940 = """\
:20:STARTUMS
:25:99999999/0000000001
:28C:00007/001
:60F:C260130EUR1000,00
:61:2601310131DR12,50NTRFORDER-7//BANK-9
:86:177?00UEBERWEISUNG?20EREF+E2E-7?21SVWZ+Coffee and c?22ake?3
0TESTXX00?31XX00TEST0000000002?32Corner ?33Shop
:61:2601310202CR100,00NTRFNONREF//BANK-10
:86:Rent of Jane Made-Up
:62F:C260202EUR1087,50
-
"""

CAMT053 = """\
<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
  <BkToCstmrStmt>
    <GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-02-02T18:00:00+01:00</CreDtTm></GrpHdr>
    <Stmt>
      <Id>S-7</Id>
      <Acct><Id><IBAN>XX00TEST0000000001</IBAN></Id><Ccy>EUR</Ccy></Acct>
      <Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
        <Dt><Dt>2026-01-30</Dt></Dt></Bal>
      <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1087.50</Amt><CdtDbtInd>CRDT</CdtDbtInd>
        <Dt><Dt>2026-02-02</Dt></Dt></Bal>
      <Ntry>
        <Amt Ccy="EUR">12.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
        <BookgDt><Dt>2026-01-31</Dt></BookgDt><ValDt><Dt>2026-01-31</Dt></ValDt>
        <AcctSvcrRef>BANK-9</AcctSvcrRef>
        <NtryDtls><TxDtls>
          <Refs><EndToEndId>E2E-7</EndToEndId></Refs>
          <RltdPties><Cdtr><Pty><Nm>Corner Shop</Nm></Pty></Cdtr></RltdPties>
          <RmtInf><Ustrd>Coffee and cake</Ustrd></RmtInf>
        </TxDtls></NtryDtls>
      </Ntry>
      <Ntry>
        <Amt Ccy="EUR">100.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
        <BookgDt><DtTm>2026-02-02T00:30:00+01:00</DtTm></BookgDt>
        <NtryDtls><TxDtls>
          <Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>
          <RltdPties><Dbtr><Pty><Nm>Jane Made-Up</Nm></Pty></Dbtr></RltdPties>
        </TxDtls></NtryDtls>
        <AddtlNtryInf>Rent</AddtlNtryInf>
      </Ntry>
    </Stmt>
  </BkToCstmrStmt>
</Document>
"""

OFX_SGML = """\
OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX>
<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>20260202<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><TRNUID>1
<STMTRS><CURDEF>EUR
<BANKACCTFROM><BANKID>99999999<ACCTID>0000000001<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20260131<DTEND>20260202
<STMTTRN><TRNTYPE>CHECK<DTPOSTED>20260131235959.000[-5:EST]<TRNAMT>-12.50<FITID>F-9<CHECKNUM>319<NAME>Corner Shop
<MEMO>Coffee &amp; cake
</STMTTRN>
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20260202<DTAVAIL>20260203<TRNAMT>+100,00<FITID>F-10<REFNUM>RENT-2
<MEMO>
<NAME>Jane Made-Up
</STMTTRN>
</BANKTRANLIST>
<LEDGERBAL><BALAMT>1087.50<DTASOF>20260202180000</LEDGERBAL>
</STMTRS></STMTTRNRS></BANKMSGSRSV1>
</OFX>
"""

OFX_XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
<OFX>
  <CREDITCARDMSGSRSV1><CCSTMTTRNRS><TRNUID>1</TRNUID>
    <CCSTMTRS>
      <CURDEF>EUR</CURDEF>
      <CCACCTFROM><ACCTID>0000111122223333</ACCTID></CCACCTFROM>
      <BANKTRANLIST><DTSTART>20260131</DTSTART><DTEND>20260202</DTEND>
        <STMTTRN><TRNTYPE>DEBIT</TRNTYPE><DTPOSTED>20260131</DTPOSTED><TRNAMT>-12.50</TRNAMT><FITID>F-9</FITID>
          <NAME><![CDATA[Corner <Shop> ]]></NAME><MEMO></MEMO></STMTTRN>
      </BANKTRANLIST>
      <LEDGERBAL><BALAMT>-12.50</BALAMT><DTASOF>20260202</DTASOF></LEDGERBAL>
    </CCSTMTRS>
  </CCSTMTTRNRS></CREDITCARDMSGSRSV1>
</OFX>
"""

CSV = """\
Day,Name,Text,Order,Id,Amount,Currency,Left,State
31/01/2026 23:59,Corner Shop,Coffee and cake,ORDER-7,BANK-9,-12.5,eur,987.50,DONE
01/02/2026 08:00,Nobody,Never happened,,BANK-0,5.00,eur,,PENDING
02/02/2026 00:30,Jane Made-Up,Rent,,BANK-10,+100.00,eur,1087.50,DONE
"""

CSV_MAP = StatementMap(
    date="%d/%m/%Y",
    map={
        "date": "Day", "amount": "Amount", "currency": "Currency", "balance": "Left", "reference": "Order",
        "bank_reference": "Id", "counterparty": "Name", "description": "Text",
    },
    only={"State": ["DONE"]},
)  # fmt: skip
