import com.pixelmed.validate.DicomSRValidator;

/** Has PixelMed judge many reports in one process, which takes most of its time to start and to read its tables. */
public class ValidateReports {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println("File " + file);
            System.out.println(validator.validate(file));
        }
    }
}
