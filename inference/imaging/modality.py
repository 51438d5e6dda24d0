"""What may be repeated of a Modality (0008,0060): a sender can write anything into it, also a name."""

# The defined terms and the retired ones (PS3.3 section C.7.3.1.1.1).
_TERMS = """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS
    KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE
    RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA
    XAPROTOCOL XC
    AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS ST VF
"""
_DEFINED = frozenset(_TERMS.split())


def shown_modality(modality: str, otherwise: str = "unknown modality") -> str:
    """The modality for a sentence: itself if it is a defined term, else other words."""
    return modality if modality in _DEFINED else otherwise
